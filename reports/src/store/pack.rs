//! A pack: what a run measured, in few small files, to be shipped and read like the run folder that it was made from.
//!
//! ```text
//! pack.zst       the plan without its cells, and the configs
//! SCHEME.zst     the cells of a scheme, one JSON line each: from the plan, status, result, cost
//! ```
//!
//! Schemes come one by one: a scheme is packed when all of its cells have come to an end, be it done, failed or diverged, and
//! its file is the same whenever it is packed. Every line ends with its hash. Samples are kept as they are, so that intervals
//! and paired differences are those of the run. Left out is what neither needs: weights and events, learned parameters of
//! schemes, columns that are no counts (log-probabilities), and digits of training curves, which are only drawn.

use super::load::{LoadedCell, LoadedRun, foreign};
use super::{StoreError, check, malformed, read, seal_line, to_value, write_atomic};
use crate::record::{CellRecord, Cost, MeasureRecord, PlannedCell, RunPlan, State, Status};
use crate::store::line_is_whole;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The file without which a folder is no pack.
const HEAD: &str = "pack.zst";
const ENDING: &str = ".zst";
/// Of zstd: packing takes minutes at most, and is done once.
const LEVEL: i32 = 19;
/// Digits of a training loss behind the point.
const DIGITS: f64 = 1e4;

/// Name and bytes of a file of a pack.
pub type PackFile<'a> = (Cow<'a, str>, Cow<'a, [u8]>);

#[derive(Serialize, Deserialize)]
struct Head {
    plan: RunPlan,
    config: Option<String>,
    resolved: Option<String>,
    /// Names of the schemes in the order of the page, those without a file too.
    schemes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Packed {
    planned: PlannedCell,
    status: Option<Status>,
    result: Option<CellRecord>,
    cost: Option<Cost>,
}

/// A command as another machine can read it: of an absolute path its last part is left.
fn portable(command: &str) -> String {
    let words = command.split(' ').map(|word| {
        let path = Path::new(word);
        let last = path.file_name().filter(|_| path.is_absolute());
        last.map_or(word.into(), |last| last.to_string_lossy())
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The pack of a run: names and bytes of its files.
///
/// # Errors
/// A scheme whose name is no name of a file, or that would take the place of the head.
pub fn pack(run: &LoadedRun) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut schemes: Vec<String> = Vec::new();
    for cell in &run.plan.cells {
        if !schemes.contains(&cell.scheme) {
            schemes.push(cell.scheme.clone());
        }
    }
    let head = Head {
        plan: RunPlan {
            cells: Vec::new(),
            command: portable(&run.plan.command),
            ..run.plan.clone()
        },
        config: run.config.clone(),
        resolved: run.resolved.clone(),
        schemes: schemes.clone(),
    };
    let mut files = vec![(HEAD.to_string(), packed(HEAD, &[to_value(&head)?])?)];
    for scheme in schemes {
        let cells = run.cells.iter().filter(|c| c.planned.scheme == scheme);
        let cells: Vec<&LoadedCell> = cells.collect();
        let ended = |c: &&LoadedCell| {
            c.unreadable.is_none()
                && matches!(c.state(), State::Done | State::Failed | State::Diverged)
        };
        if !cells.iter().all(ended) {
            continue;
        }
        let name = format!("{scheme}{ENDING}");
        let foreign = scheme.starts_with('.') || scheme.contains(['/', '\\', ':']);
        if name == HEAD || foreign {
            let what = format!("the scheme {scheme:?} needs another name to be packed");
            return Err(malformed(&run.path)(what));
        }
        let line = |cell: &&LoadedCell| {
            to_value(&Packed {
                planned: cell.planned.clone(),
                status: cell.status.clone(),
                result: cell.result.clone().map(thinned),
                cost: cell.cost.clone(),
            })
        };
        let lines: Vec<Value> = cells.iter().map(line).collect::<Result<_, _>>()?;
        let bytes = packed(&name, &lines)?;
        files.push((name, bytes));
    }
    Ok(files)
}

/// Writes the files of a pack into a folder; files of schemes that it has not are left alone.
///
/// # Errors
/// The system's refusal.
pub fn write_pack(dir: &Path, files: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
    std::fs::create_dir_all(dir).map_err(|source| StoreError::Io {
        action: "making",
        path: dir.to_path_buf(),
        source,
    })?;
    files
        .iter()
        .try_for_each(|(name, bytes)| write_atomic(&dir.join(name), bytes))
}

/// Whether a folder is a pack.
#[must_use]
pub fn is_pack(path: &Path) -> bool {
    path.join(HEAD).is_file()
}

/// Reads a pack in a folder.
///
/// # Errors
/// As [`unpack`], and the system's refusal.
pub fn load_pack(path: &Path) -> Result<LoadedRun, StoreError> {
    let reading = |source| StoreError::Io {
        action: "reading",
        path: path.to_path_buf(),
        source,
    };
    let mut files: Vec<PackFile<'_>> = Vec::new();
    for entry in std::fs::read_dir(path).map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(ENDING) {
            let bytes = read::bytes(&entry.path())?.unwrap_or_default();
            files.push((name.into(), bytes.into()));
        }
    }
    unpack(path, &files)
}

/// Reads a pack from the bytes of its files; `path` is where they are said to lie. Cells come in the order of the plan that
/// was packed, scheme by scheme.
///
/// # Errors
/// A file that is missing, changed, newer than this program or not what a pack holds.
pub fn unpack(path: &Path, files: &[PackFile<'_>]) -> Result<LoadedRun, StoreError> {
    let head = files.iter().find(|f| f.0 == HEAD);
    let head = head.ok_or_else(|| StoreError::NotARun {
        path: path.to_path_buf(),
    })?;
    let heads: Vec<Head> = unpacked(path, head)?;
    let at = path.join(HEAD);
    let mut heads = heads.into_iter();
    let (Some(head), None) = (heads.next(), heads.next()) else {
        return Err(malformed(&at)("expected one line".into()));
    };
    let mut plan = head.plan;
    let mut cells: Vec<LoadedCell> = Vec::new();
    for scheme in &head.schemes {
        let name = format!("{scheme}{ENDING}");
        let Some(file) = files.iter().find(|f| f.0 == name) else {
            continue;
        };
        let at = path.join(&name);
        let wrong = |what: String| malformed(&at)(what);
        for cell in unpacked::<Packed>(path, file)? {
            if let Some(result) = &cell.result {
                check::record(result, &cell.planned.id).map_err(wrong)?;
                if let Some(why) = foreign(result, &cell.planned) {
                    return Err(wrong(why));
                }
            }
            if let Some(cost) = &cell.cost {
                check::cost(cost).map_err(wrong)?;
            }
            plan.cells.push(cell.planned.clone());
            cells.push(LoadedCell {
                planned: cell.planned,
                status: cell.status,
                result: cell.result,
                cost: cell.cost,
                unreadable: None,
            });
        }
    }
    check::plan(&plan).map_err(malformed(&at))?;
    Ok(LoadedRun {
        path: path.to_path_buf(),
        plan,
        config: head.config,
        resolved: head.resolved,
        cells,
        problems: Vec::new(),
    })
}

/// What a line belongs to: its hash is of this, too.
fn context(file: &str, number: usize) -> String {
    format!("pack {file} {number}")
}

fn packed(name: &str, lines: &[Value]) -> Result<Vec<u8>, StoreError> {
    let lines = lines.iter().enumerate();
    let sealed = lines.map(|(i, line)| seal_line(&context(name, i), &line.to_string()) + "\n");
    let text: String = sealed.collect();
    zstd::encode_all(text.as_bytes(), LEVEL).map_err(|source| StoreError::Io {
        action: "compressing",
        path: PathBuf::from(name),
        source,
    })
}

fn unpacked<T: serde::de::DeserializeOwned>(
    path: &Path,
    (name, bytes): &PackFile<'_>,
) -> Result<Vec<T>, StoreError> {
    let at = path.join(name.as_ref());
    let wrong = |what: String| malformed(&at)(what);
    let text = zstd::decode_all(bytes.as_ref()).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(text).map_err(|e| wrong(format!("expected UTF-8, found {e}")))?;
    let mut found = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if !line_is_whole(&context(name, i), line) {
            return Err(StoreError::Malformed {
                path: at.clone(),
                line: Some(i + 1),
                what: read::CHANGED.into(),
            });
        }
        found.push(serde_json::from_str(line).map_err(|e| wrong(e.to_string()))?);
    }
    Ok(found)
}

/// A record without what no interval and no paired difference needs.
fn thinned(mut record: CellRecord) -> CellRecord {
    record.learned.clear();
    for (_, loss) in &mut record.train.curve {
        *loss = (*loss * DIGITS).round() / DIGITS;
    }
    record.measures.iter_mut().for_each(keep_counts);
    record
}

/// Leaves out columns that are no counts, and the numbers that follow from them.
fn keep_counts(measure: &mut MeasureRecord) {
    let counts = |name: &String| {
        let of = measure.points.iter().filter_map(|p| p.columns.get(name));
        of.flat_map(|c| &c.0).all(|x| x.fract() == 0.0)
    };
    let mut names: Vec<String> = Vec::new();
    for name in measure.points.iter().flat_map(|p| p.columns.keys()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let left_out: Vec<String> = names.into_iter().filter(|name| !counts(name)).collect();
    let gone = |name: &String| left_out.contains(name);
    measure.also.retain(|a| !gone(&a.value) && !gone(&a.weight));
    for point in &mut measure.points {
        point.columns.retain(|name, _| !gone(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Options};
    use crate::summary::summarise;
    use std::error::Error;

    type Tested = Result<(), Box<dyn Error>>;

    fn run() -> LoadedRun {
        fixture::run(&Options {
            language: true,
            retrieval: true,
            ..Options::default()
        })
    }

    /// The run as a pack holds it: scheme by scheme, without what is only looked at.
    fn expected(run: &LoadedRun) -> LoadedRun {
        let mut expected = run.clone();
        let mut schemes: Vec<String> = Vec::new();
        for cell in &run.cells {
            if !schemes.contains(&cell.planned.scheme) {
                schemes.push(cell.planned.scheme.clone());
            }
        }
        let place = |name: &String| schemes.iter().position(|s| s == name);
        expected.cells.sort_by_key(|c| place(&c.planned.scheme));
        for cell in &mut expected.cells {
            cell.result = cell.result.take().map(thinned);
        }
        let plans = expected.cells.iter().map(|c| c.planned.clone());
        expected.plan.cells = plans.collect();
        expected
    }

    #[test]
    fn a_pack_is_read_as_the_run_that_it_was_made_from() -> Tested {
        let run = run();
        let folder = tempfile::tempdir()?;
        write_pack(folder.path(), &pack(&run)?)?;
        let mut found = crate::store::load(folder.path())?;
        found.path = run.path.clone();
        assert_eq!(found, expected(&run));
        // What is concluded from it is the same, to the last digit.
        let (before, after) = (summarise(&run), summarise(&found));
        for (a, b) in before.studies.iter().zip(&after.studies) {
            assert_eq!(a.differences.len(), b.differences.len());
            for difference in &a.differences {
                assert!(b.differences.contains(difference), "{difference:?}");
            }
        }
        assert_eq!(before.aggregate.is_some(), after.aggregate.is_some());
        Ok(())
    }

    /// Packing what was packed gives the same bytes, and one more scheme changes no file of another.
    #[test]
    fn files_of_schemes_stand_by_themselves() -> Tested {
        let run = run();
        let all = pack(&run)?;
        let borrowed: Vec<PackFile<'_>> = all
            .iter()
            .map(|(n, b)| (n.as_str().into(), b.as_slice().into()))
            .collect();
        assert_eq!(pack(&unpack(&run.path, &borrowed)?)?[1..], all[1..]);
        let mut fewer = run.clone();
        let last = fewer.plan.cells.last().map(|c| c.scheme.clone());
        for cell in &mut fewer.cells {
            if Some(&cell.planned.scheme) == last.as_ref() && cell.planned.seed == 0 {
                (cell.result, cell.status) = (None, None);
            }
        }
        let some = pack(&fewer)?;
        assert_eq!(some.len() + 1, all.len());
        assert!(some[1..].iter().all(|file| all.contains(file)));
        Ok(())
    }

    #[test]
    fn a_pack_tells_no_folder_of_the_machine() {
        let command = "farspan run a/b.toml --out /home/me/runs/x -k '/rope/'";
        assert_eq!(
            portable(command),
            "farspan run a/b.toml --out x -k '/rope/'"
        );
    }

    #[test]
    fn every_change_of_a_file_shows() -> Tested {
        let files = pack(&run())?;
        let at = Path::new("pack");
        for (i, (name, bytes)) in files.iter().enumerate() {
            let text = zstd::decode_all(bytes.as_slice())?;
            // A digit somewhere in the middle, then the end of the last line, then another scheme's lines.
            let middle = text
                .iter()
                .skip(text.len() / 2)
                .position(u8::is_ascii_digit);
            let middle = middle.unwrap_or_default() + text.len() / 2;
            let mut changed = text.clone();
            changed[middle] = if changed[middle] == b'1' { b'2' } else { b'1' };
            let other = zstd::decode_all(files[(i + 1) % files.len()].1.as_slice())?;
            for damaged in [changed, text[..text.len() - 3].to_vec(), other] {
                let damaged = zstd::encode_all(damaged.as_slice(), 1)?;
                let mut borrowed: Vec<PackFile<'_>> = files
                    .iter()
                    .map(|(n, b)| (n.as_str().into(), b.as_slice().into()))
                    .collect();
                borrowed[i].1 = damaged.into();
                let error = unpack(at, &borrowed).expect_err(name).to_string();
                assert!(error.contains(name) && error.contains("line"), "{error}");
            }
        }
        Ok(())
    }
}
