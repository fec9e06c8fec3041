//! A device that runs nothing: it notes the kernels that it is asked for, and everything it is read from is zero.

use super::kind::{Driver, Facts, Handle, Limits};
use crate::locked::lock;
use crate::spec::Precision;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Texts so far; see the module.
#[derive(Debug)]
pub(crate) struct Noted {
    facts: Facts,
    texts: Mutex<BTreeSet<String>>,
    next: AtomicU64,
}

impl Noted {
    /// One with subgroups or without.
    pub(crate) fn new(subgroups: bool) -> Noted {
        Noted {
            facts: Facts {
                label: "a device that runs nothing".into(),
                bounds: "none".into(),
                limits: Limits {
                    array: 1 << 31,
                    memory_block: 1 << 31,
                    memory: u64::MAX,
                    arrays: 31,
                    groups: 65535,
                },
                subgroups,
                precision: Precision::F32,
                software: false,
            },
            texts: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }
}

impl Driver for Noted {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn fault(&self) -> Option<String> {
        None
    }

    fn create(&self, _bytes: u64) -> Result<Handle, String> {
        Ok(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn free(&self, _memory: Handle) {}

    fn write(&self, _memory: Handle, _words: &[u32]) -> Result<(), String> {
        Ok(())
    }

    fn read(&self, _memory: Handle, count: usize) -> Result<Vec<u32>, String> {
        Ok(vec![0; count])
    }

    fn compile(&self, text: &str) -> Result<(), String> {
        lock(&self.texts).insert(text.to_string());
        Ok(())
    }

    fn launch(
        &self,
        text: &str,
        _info: &[u32],
        _arrays: &[(Handle, u64)],
        _groups: usize,
    ) -> Result<(), String> {
        self.compile(text)
    }

    fn finish(&self) -> Result<(), String> {
        Ok(())
    }

    fn counts(&self) -> (usize, u64) {
        (lock(&self.texts).len(), 0)
    }

    fn noted(&self) -> Vec<String> {
        lock(&self.texts).iter().cloned().collect()
    }

    #[cfg(test)]
    fn destroy(&self) {}
}
