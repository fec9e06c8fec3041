//! SIGINT, SIGTERM, and SIGUSR1 or SIGUSR2 of a scheduler that wants the machine back: the first asks for an orderly end;
//! a second SIGINT ends at once.

use crate::{Error, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(unix)]
const SIGNALS: [i32; 4] = [
    SIGINT,
    SIGTERM,
    signal_hook::consts::SIGUSR1,
    signal_hook::consts::SIGUSR2,
];
#[cfg(not(unix))]
const SIGNALS: [i32; 2] = [SIGINT, SIGTERM];

/// Exit code of a run that ended because of `signal`: as shells count, and 75, "try again", for a scheduler's.
pub(crate) fn exit_code(signal: i32) -> u8 {
    match signal {
        SIGINT | SIGTERM => 128 + signal as u8,
        _ => 75,
    }
}

/// The signal that was caught, if one was.
pub(super) struct Signal {
    caught: Arc<AtomicUsize>,
}

impl Signal {
    pub(super) fn listen() -> Result<Signal> {
        let io = |e| Error::io("installing signal handlers", e);
        let caught = Arc::new(AtomicUsize::new(0));
        for signal in SIGNALS {
            // Schedulers repeat what they send; who presses ctrl-C twice means it.
            if signal == SIGINT {
                let again = Arc::new(AtomicBool::new(false));
                let code = i32::from(exit_code(signal));
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&again))
                    .map_err(io)?;
                signal_hook::flag::register(signal, again).map_err(io)?;
            }
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)
                .map_err(io)?;
        }
        Ok(Signal { caught })
    }

    pub(super) fn caught(&self) -> Option<i32> {
        match self.caught.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}
