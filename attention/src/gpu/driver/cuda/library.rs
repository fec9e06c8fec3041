//! Libraries of CUDA, found when the program runs: in a place that a variable names, in a CUDA installation, in the loader's
//! path, or among the wheels of a Python environment.

use libloading::Library;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// A library to look for.
pub(super) struct Sought {
    /// What messages call it.
    pub(super) name: &'static str,
    /// Variable with the path of the file.
    pub(super) variable: &'static str,
    /// Of the file: `lib` and `.so` are left out.
    pub(super) stem: &'static str,
    /// Folder of its wheel for CUDA 12 below `nvidia`; those of CUDA 13 share `cu13`.
    pub(super) wheel: &'static str,
    /// Stem of a library beside it that it loads by name, which the loader finds only if it is loaded already.
    pub(super) beside: &'static str,
    /// Names of the file on Windows.
    pub(super) windows: &'static [&'static str],
}

/// Major versions of CUDA whose libraries serve, the older ones first: each of them runs on drivers of the newer.
const MAJORS: [u32; 2] = [12, 13];

/// Loaded libraries, which stay loaded: the first is the one sought.
pub(super) struct Loaded {
    pub(super) path: PathBuf,
    all: Vec<Library>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

impl Loaded {
    /// A function of the library. Fails with the name of one that it lacks.
    ///
    /// # Safety
    /// `F` is the function's type.
    pub(super) unsafe fn get<F: Copy>(&self, name: &str) -> Result<F, String> {
        // SAFETY: the caller vouches for the type, and the library stays loaded as long as `self`.
        let found = unsafe { self.all[0].get::<F>(name.as_bytes()) };
        found.map(|f| *f).map_err(|_| format!("it has no {name}"))
    }
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).filter(|value| !value.is_empty());
    set.map(PathBuf::from)
}

/// Folders below `folder` whose name starts so, the last one by name first.
fn below(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|x| x.file_name().to_string_lossy().starts_with(start));
    let mut found: Vec<PathBuf> = named.map(|x| x.path()).collect();
    found.sort();
    found.reverse();
    found
}

impl Sought {
    /// Opens the first that is there and that `open` takes. Else tells where it looked, and what it found wrong.
    pub(super) fn find<T>(&self, open: &dyn Fn(Loaded) -> Result<T, String>) -> Result<T, String> {
        if let Some(path) = folder_of(self.variable) {
            let found = load(&path, self.beside).and_then(open);
            return found.map_err(|why| {
                format!(
                    "{} at {} ({}): {why}",
                    self.name,
                    path.display(),
                    self.variable
                )
            });
        }
        let mut refused = Vec::new();
        for path in self.candidates() {
            match load(&path, self.beside).and_then(open) {
                Ok(found) => return Ok(found),
                // The loader's path holds one of these names, or none.
                Err(_) if path.parent() == Some(Path::new("")) && !resolves(&path) => {}
                Err(why) => refused.push(format!("{}: {why}", path.display())),
            }
        }
        let refused = match refused.is_empty() {
            true => String::new(),
            false => format!("; found and refused: {}", refused.join(", ")),
        };
        Err(format!(
            "no {} was found; looked in {}{refused}; {} may name its file",
            self.name,
            self.places(),
            self.variable
        ))
    }

    /// Where it is looked for, in words.
    fn places(&self) -> String {
        let told = |variable: &str| match folder_of(variable) {
            Some(folder) => format!("{variable} ({})", folder.display()),
            None => format!("{variable} (not set)"),
        };
        format!(
            "{}, {}, /usr/local/cuda*, the loader's path, and the wheels nvidia/{} and nvidia/cu13 of {}, {}, ~/.local and \
             /usr/local",
            told("CUDA_HOME"),
            told("CUDA_PATH"),
            self.wheel,
            told("VIRTUAL_ENV"),
            told("CONDA_PREFIX")
        )
    }

    /// Names of the file, as installations and wheels have them.
    fn files(&self) -> Vec<OsString> {
        if cfg!(windows) {
            return self.windows.iter().map(OsString::from).collect();
        }
        let stem = self.stem;
        let plain = std::iter::once(format!("lib{stem}.so"));
        let versions = MAJORS.iter().map(|major| format!("lib{stem}.so.{major}"));
        plain.chain(versions).map(OsString::from).collect()
    }

    /// Files to try, in order. Those without a folder are left to the loader.
    fn candidates(&self) -> Vec<PathBuf> {
        let mut installations: Vec<PathBuf> = ["CUDA_HOME", "CUDA_PATH"]
            .iter()
            .filter_map(|variable| folder_of(variable))
            .collect();
        installations.extend(below(Path::new("/usr/local"), "cuda"));
        let mut folders = Vec::new();
        for folder in installations {
            folders.extend(
                ["lib64", "lib", "bin", "targets/x86_64-linux/lib"].map(|x| folder.join(x)),
            );
        }
        let mut wheels = Vec::new();
        let home = folder_of("HOME").map(|home| home.join(".local"));
        let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(folder_of);
        for environment in environments.into_iter().flatten() {
            wheels.push(environment.join("lib"));
            wheels.extend(self.wheels(&environment));
        }
        for environment in home.into_iter().chain([PathBuf::from("/usr/local")]) {
            wheels.extend(self.wheels(&environment));
        }
        let files = self.files();
        let inside = |folders: Vec<PathBuf>| {
            let each = folders.into_iter();
            let all = each.flat_map(|folder| files.iter().map(move |file| folder.join(file)));
            all.filter(|path| path.is_file()).collect::<Vec<_>>()
        };
        let mut found = inside(folders);
        found.extend(files.iter().map(PathBuf::from));
        found.extend(inside(wheels));
        found
    }

    /// Folders of the wheels of a Python environment.
    fn wheels(&self, environment: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for python in below(&environment.join("lib"), "python") {
            for packages in ["site-packages", "dist-packages"] {
                let nvidia = python.join(packages).join("nvidia");
                found.push(nvidia.join(self.wheel).join("lib"));
                found.push(nvidia.join("cu13").join("lib"));
            }
        }
        let windows = environment.join("Lib/site-packages/nvidia");
        found.push(windows.join(self.wheel).join("bin"));
        found
    }
}

/// Whether the loader finds a file of this name.
fn resolves(name: &Path) -> bool {
    // SAFETY: these are NVIDIA's libraries, which do nothing when they are loaded.
    unsafe { Library::new(name) }.is_ok()
}

/// Loads a library, before it those beside it whose name starts with `beside`.
fn load(path: &Path, beside: &str) -> Result<Loaded, String> {
    let mut all = Vec::new();
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder {
        if !path.is_file() {
            return Err("there is no such file".into());
        }
        for other in below(folder, &format!("lib{beside}.so")) {
            // SAFETY: as below. One that cannot be loaded is missed by the library itself, in its own words.
            all.extend(unsafe { Library::new(&other) });
        }
    }
    // SAFETY: the file has the name of one of NVIDIA's libraries, which do nothing when they are loaded.
    let library = unsafe { Library::new(path) }.map_err(|e| format!("it cannot be loaded: {e}"))?;
    all.insert(0, library);
    Ok(Loaded {
        path: path.to_path_buf(),
        all,
    })
}
