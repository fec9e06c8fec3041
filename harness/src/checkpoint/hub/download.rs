//! Download of a model into the Hugging Face cache.
//!
//! The content of a file lies in `blobs/HASH` and comes there through `HASH.incomplete`, which a later download goes on
//! from. `snapshots/COMMIT/` and `refs/REVISION` are made when every file is there.

use super::site::{Listed, Listing, Site};
use super::{Id, variable};
use crate::checkpoint::header::index;
use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What is read of a checkpoint beside its weights.
const SMALL: [&str; 5] = [
    "config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
];
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Downloads what a checkpoint needs of `id` and is not in `cache` yet; the folder of the snapshot.
pub(super) fn fetch(id: &Id<'_>, cache: &Path) -> Result<PathBuf> {
    let site = Site::new(variable);
    let listing = site.listing(id)?;
    let download = Download {
        site: &site,
        id,
        folder: id.folder(cache),
        listing: &listing,
    };
    download.run()
}

struct Download<'a> {
    site: &'a Site,
    id: &'a Id<'a>,
    /// The model's folder in the cache.
    folder: PathBuf,
    listing: &'a Listing,
}

impl Download<'_> {
    fn run(&self) -> Result<PathBuf> {
        make(&self.folder.join("blobs"))?;
        let mut files = vec![self.listed("config.json")?];
        files.extend(SMALL[1..].iter().filter_map(|name| self.listed(name).ok()));
        match self.listed(SINGLE) {
            Ok(single) => files.push(single),
            Err(_) => files.extend(self.shards()?),
        }
        let bar = ProgressBar::new(files.iter().map(|file| file.size).sum());
        bar.set_style(
            ProgressStyle::with_template(
                "{msg:36} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta:>4}",
            )
            .map_err(|e| Error::Bug(e.to_string()))?,
        );
        for file in &files {
            self.blob(file, &bar)?;
        }
        bar.finish_and_clear();
        self.publish(&files)
    }

    fn listed(&self, name: &str) -> Result<&Listed> {
        let found = self.listing.files.iter().find(|file| file.name == name);
        found.ok_or_else(|| {
            let weights =
                "its weights are in no safetensors file (pickled .bin weights are not read)";
            Error::Data(match name {
                SINGLE | INDEX => format!("{}: {weights}", self.id.name),
                name => format!("{}: {name} is not there", self.id.name),
            })
        })
    }

    /// The index of the weights, and the files it names.
    fn shards(&self) -> Result<Vec<&Listed>> {
        let list = self.listed(INDEX)?;
        let path = self.blob(list, &ProgressBar::hidden())?;
        let text =
            fs::read(&path).map_err(|e| Error::io(format!("reading {}", path.display()), e))?;
        let map = index(&text)
            .map_err(|what| Error::Data(format!("{}: {INDEX}: {what}", self.id.name)))?;
        let names: std::collections::BTreeSet<_> = map.into_values().collect();
        let shards = names.iter().map(|name| self.listed(name));
        std::iter::once(Ok(list)).chain(shards).collect()
    }

    /// The content of `file` in the cache, downloaded if it is not there.
    fn blob(&self, file: &Listed, bar: &ProgressBar) -> Result<PathBuf> {
        bar.set_message(file.name.clone());
        let path = self.folder.join("blobs").join(file.blob());
        let there = || fs::metadata(&path).is_ok_and(|about| about.len() == file.size);
        if !there() {
            let part = path.with_extension("incomplete");
            let writing = |e| Error::io(format!("writing {}", part.display()), e);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let mut out = options.open(&part).map_err(writing)?;
            // Another process that downloads the same file is waited for.
            out.lock().map_err(writing)?;
            if !there() {
                self.say(file, bar);
                self.bytes(file, &mut out, &part, bar)?;
                fs::rename(&part, &path).map_err(writing)?;
                return Ok(path);
            }
        }
        bar.inc(file.size);
        Ok(path)
    }

    /// Off a terminal, which shows bars, a line per file.
    #[expect(clippy::print_stderr, reason = "progress belongs on stderr")]
    fn say(&self, file: &Listed, bar: &ProgressBar) {
        if bar.is_hidden() {
            let size = indicatif::HumanBytes(file.size);
            eprintln!("downloading {} of {} ({size})", file.name, self.id.name);
        }
    }

    /// Fills `out`, a file at `part` that may hold the first bytes, with the content of `file`.
    fn bytes(&self, file: &Listed, out: &mut File, part: &Path, bar: &ProgressBar) -> Result<()> {
        let writing = |e| Error::io(format!("writing {}", part.display()), e);
        let what = format!("downloading {} of {}", file.name, self.id.name);
        let held = out.metadata().map_err(writing)?.len();
        // Only a hash of the whole tells whether the two ends fit together.
        let goes_on = file.sha256().is_some() && held < file.size;
        let from = if goes_on { held } else { 0 };
        let sha = &self.listing.sha;
        let (mut source, mut filled) = self.site.file(self.id, sha, &file.name, from)?;
        out.set_len(filled).map_err(writing)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = out.read(&mut buffer).map_err(writing)?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
        }
        bar.inc(filled);
        loop {
            let read = source.read(&mut buffer).map_err(|e| {
                let where_ = format!("{what}, at {filled} of {} bytes", file.size);
                Error::io(where_, e)
            })?;
            filled += read as u64;
            if read == 0 || filled > file.size {
                break;
            }
            out.write_all(&buffer[..read]).map_err(writing)?;
            hasher.update(&buffer[..read]);
            bar.inc(read as u64);
        }
        out.sync_all().map_err(writing)?;
        let found: String = hasher
            .finalize()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let wrong = |what_found: String| {
            let text = format!("{what}: expected {} bytes, found {what_found}", file.size);
            Err(Error::Data(text))
        };
        match file.sha256() {
            _ if filled < file.size => wrong(format!("{filled}")),
            _ if filled > file.size => wrong("more".into()),
            Some(sha256) if sha256 != found => {
                // Going on from wrong bytes would never end well.
                fs::remove_file(part).map_err(writing)?;
                wrong(format!("others: their sha256 is {found}, not {sha256}"))
            }
            _ => Ok(()),
        }
    }

    /// Makes the snapshot of `files`, whose content is all there, and lets the revision mean it.
    fn publish(&self, files: &[&Listed]) -> Result<PathBuf> {
        let (id, sha) = (self.id, &self.listing.sha);
        let snapshot = self.folder.join("snapshots").join(sha);
        make(&snapshot)?;
        // What makes it a checkpoint comes last.
        for file in files.iter().rev() {
            let at = snapshot.join(&file.name);
            if !at.exists() {
                link(&self.folder, file.blob(), &at)?;
            }
        }
        if id.revision != sha {
            let reference = self.folder.join("refs").join(id.revision);
            make(reference.parent().unwrap_or(&self.folder))?;
            let fresh = self.folder.join(format!(".ref-{}", std::process::id()));
            fs::write(&fresh, sha)
                .and_then(|()| fs::rename(&fresh, &reference))
                .map_err(|e| Error::io(format!("writing {}", reference.display()), e))?;
        }
        Ok(snapshot)
    }
}

fn make(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(|e| Error::io(format!("making {}", dir.display()), e))
}

/// Lets `at` in a snapshot mean `blob` of the model's `folder`.
fn link(folder: &Path, blob: &str, at: &Path) -> Result<()> {
    // A link to content that was removed since.
    let _ = fs::remove_file(at);
    #[cfg(unix)]
    let made = {
        let _ = folder;
        std::os::unix::fs::symlink(Path::new("../../blobs").join(blob), at)
    };
    // Elsewhere, links by name need rights that users lack.
    #[cfg(not(unix))]
    let made = fs::hard_link(folder.join("blobs").join(blob), at);
    made.map_err(|e| Error::io(format!("linking {}", at.display()), e))
}
