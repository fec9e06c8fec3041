//! Another program that measures the same tasks: it reads a case per line of JSON and answers with the time it took.

use super::{Entrant, PeerRow, median, race, ratio, ratio_range};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `command` with the shell.
    pub fn start(command: &str) -> Result<Peer> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io(format!("starting the peer {command:?}"), e))?;
        let missing = || Error::Bug("a piped stream of the peer is missing".into());
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        Ok(Peer {
            child,
            input,
            output,
        })
    }

    /// Asks for one call of a case. A peer that cannot answers with the reason.
    fn ask(&mut self, case: &Value) -> Result<std::result::Result<Value, String>> {
        let lost = |e| Error::io("talking to the peer", e);
        writeln!(self.input, "{case}").map_err(lost)?;
        self.input.flush().map_err(lost)?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(lost)?;
        let answer: Value = serde_json::from_str(&line).map_err(|e| {
            Error::Data(format!(
                "the peer: expected a line of JSON, found {line:?}: {e}"
            ))
        })?;
        Ok(match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_string()),
            None => Ok(answer),
        })
    }

    fn seconds(&mut self, case: &Value) -> Result<std::result::Result<f64, String>> {
        Ok(self.ask(case)?.and_then(|answer| {
            let seconds = answer.get("seconds").and_then(Value::as_f64);
            seconds.ok_or_else(|| format!("no seconds in {answer}"))
        }))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing to do about failure here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a peer can do a task, and what it is asked for.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name of the way.
    pub way: &'static str,
    /// The case without its way.
    pub case: Map<String, Value>,
}

impl Case {
    fn json(&self, peak: bool) -> Value {
        let mut case = self.case.clone();
        case.insert("way".into(), self.way.into());
        if peak {
            case.insert("peak".into(), true.into());
        }
        Value::Object(case)
    }
}

/// Lets `ours` and the peer take turns on a case; memory from a process that has done nothing else.
pub fn against(
    command: &str,
    case: &Case,
    rounds: usize,
    memory: bool,
    ours: &mut dyn FnMut() -> Result<()>,
) -> Result<PeerRow> {
    let mut row = PeerRow {
        way: case.way.into(),
        seconds: None,
        ratio: None,
        ratio_range: None,
        peak_bytes: None,
        error: None,
    };
    let mut peer = Peer::start(command)?;
    // Preparing may take long (compilation), and may be refused.
    if let Err(error) = peer.seconds(&case.json(false))? {
        row.error = Some(error);
        return Ok(row);
    }
    let peer = RefCell::new(peer);
    let theirs = || {
        let answer = peer.borrow_mut().seconds(&case.json(false))?;
        answer.map_err(|error| Error::Data(format!("the peer failed after a good start: {error}")))
    };
    let mut entrants = [
        Entrant::new("ours", ours),
        Entrant {
            name: case.way.into(),
            call: Box::new(theirs),
        },
    ];
    let seconds = race(rounds, &mut entrants)?;
    row.seconds = Some(median(&seconds[1]));
    row.ratio = Some(ratio(&seconds[1], &seconds[0]));
    row.ratio_range = Some(ratio_range(&seconds[1], &seconds[0]));
    if memory {
        let answer = Peer::start(command)?.ask(&case.json(true))?;
        let bytes = answer.map(|answer| answer.get("peak_bytes").and_then(Value::as_u64));
        row.peak_bytes = bytes.ok().flatten();
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            way: "echo",
            case: Map::from_iter([("kind".to_string(), Value::from("attention"))]),
        }
    }

    #[test]
    fn a_peer_is_timed_by_its_own_word() {
        let command = r#"while read line; do echo '{"seconds": 100.0, "peak_bytes": 7}'; done"#;
        let row = against(command, &case(), 3, true, &mut || Ok(())).expect("it answers");
        assert_eq!((row.seconds, row.peak_bytes), (Some(100.0), Some(7)));
        assert!(row.ratio > Some(1000.0), "{row:?}");
    }

    #[test]
    fn a_peer_that_cannot_says_why() {
        let command = r#"read line; echo '{"error": "no backward"}'"#;
        let row = against(command, &case(), 3, true, &mut || Ok(())).expect("it answers");
        assert_eq!(row.error.as_deref(), Some("no backward"));
        assert_eq!(row.ratio, None);
    }

    #[test]
    fn a_peer_that_says_nothing_is_an_error() {
        let error = against("read line", &case(), 3, true, &mut || Ok(())).expect_err("no answer");
        assert!(
            error.to_string().contains("expected a line of JSON"),
            "{error}"
        );
    }
}
