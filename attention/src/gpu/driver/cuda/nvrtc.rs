//! NVRTC, NVIDIA's compiler as a library: text to a cubin, machine code of one architecture.

use super::library::{Loaded, Sought};
use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;

/// Where it is looked for.
pub(super) const SOUGHT: Sought = Sought {
    name: "NVRTC",
    variable: "FARSPAN_NVRTC",
    stem: "nvrtc",
    wheel: "cuda_nvrtc",
    beside: "nvrtc-builtins",
    windows: &["nvrtc64_120_0.dll", "nvrtc64_130_0.dll"],
};

type Program = *mut std::ffi::c_void;
type Status = c_int;

/// The loaded compiler.
#[derive(Debug)]
pub(super) struct Nvrtc {
    calls: Calls,
    /// Major and minor version of CUDA that it is of.
    pub(super) version: (c_int, c_int),
    /// Architectures that it makes code for, as 90 for sm_90.
    architectures: Vec<c_int>,
    library: Loaded,
}

type Ask = unsafe extern "C" fn(Program, *mut usize) -> Status;
type Give = unsafe extern "C" fn(Program, *mut c_char) -> Status;

#[derive(Clone, Copy, Debug)]
struct Calls {
    create: unsafe extern "C" fn(
        *mut Program,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    compile: unsafe extern "C" fn(Program, c_int, *const *const c_char) -> Status,
    destroy: unsafe extern "C" fn(*mut Program) -> Status,
    log: (Ask, Give),
    cubin: (Ask, Give),
    error: unsafe extern "C" fn(Status) -> *const c_char,
}

impl Nvrtc {
    /// Finds one whose code the driver, of this major version of CUDA, runs.
    pub(super) fn find(driver: c_int) -> Result<Nvrtc, String> {
        SOUGHT.find(&|library| {
            let found = Nvrtc::of(library)?;
            let (major, minor) = found.version;
            match major <= driver {
                true => Ok(found),
                false => Err(format!(
                    "expected version {driver} or older, which is the driver's, found {major}.{minor}"
                )),
            }
        })
    }

    fn of(library: Loaded) -> Result<Nvrtc, String> {
        type Version = unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status;
        type Count = unsafe extern "C" fn(*mut c_int) -> Status;
        // SAFETY: the types are those of nvrtc.h.
        let (calls, version, count, supported) = unsafe {
            let calls = Calls {
                create: library.get("nvrtcCreateProgram")?,
                compile: library.get("nvrtcCompileProgram")?,
                destroy: library.get("nvrtcDestroyProgram")?,
                log: (
                    library.get("nvrtcGetProgramLogSize")?,
                    library.get("nvrtcGetProgramLog")?,
                ),
                cubin: (
                    library.get("nvrtcGetCUBINSize")?,
                    library.get("nvrtcGetCUBIN")?,
                ),
                error: library.get("nvrtcGetErrorString")?,
            };
            (
                calls,
                library.get::<Version>("nvrtcVersion")?,
                library.get::<Count>("nvrtcGetNumSupportedArchs")?,
                library.get::<Count>("nvrtcGetSupportedArchs")?,
            )
        };
        let (mut major, mut minor, mut number) = (0, 0, 0);
        // SAFETY: each writes numbers to where they belong.
        unsafe {
            calls.check(version(&mut major, &mut minor))?;
            calls.check(count(&mut number))?;
        }
        let mut architectures = vec![0; usize::try_from(number).unwrap_or(0)];
        // SAFETY: there is room for as many as were counted.
        unsafe { calls.check(supported(architectures.as_mut_ptr()))? };
        Ok(Nvrtc {
            calls,
            version: (major, minor),
            architectures,
            library,
        })
    }

    /// Where it was found.
    pub(super) fn path(&self) -> &Path {
        &self.library.path
    }

    /// The architecture to make code for: that of the card, or the next lower one of its generation, whose code runs there.
    pub(super) fn architecture(&self, (major, minor): (c_int, c_int)) -> Result<c_int, String> {
        let card = 10 * major + minor;
        let of_generation = self.architectures.iter().filter(|x| **x / 10 == major);
        let best = of_generation.filter(|x| **x <= card).max();
        best.copied().ok_or_else(|| {
            let (newest, oldest) = (self.architectures.iter().max(), self.architectures.iter().min());
            let (major, minor) = self.version;
            format!(
                "NVRTC {major}.{minor} compiles for sm_{} to sm_{}, and the card is sm_{card}: another version is needed",
                oldest.unwrap_or(&0),
                newest.unwrap_or(&0)
            )
        })
    }

    /// Machine code of `text` for an architecture. Fails with the compiler's words.
    pub(super) fn compile(&self, text: &str, architecture: c_int) -> Result<Vec<u8>, String> {
        let source = CString::new(text).map_err(|e| format!("a kernel's text: {e}"))?;
        let options = [
            format!("--gpu-architecture=sm_{architecture}"),
            "--std=c++17".to_string(),
        ];
        let options = options.map(|x| CString::new(x).unwrap_or_default());
        let options = options.each_ref().map(|x| x.as_ptr());
        let mut program = ptr::null_mut();
        // SAFETY: text and options live until the program is destroyed.
        unsafe {
            self.calls.check((self.calls.create)(
                &mut program,
                source.as_ptr(),
                c"kernel.cu".as_ptr(),
                0,
                ptr::null(),
                ptr::null(),
            ))?;
            let done = (self.calls.compile)(program, options.len() as c_int, options.as_ptr());
            let made = match self.calls.check(done) {
                Ok(()) => self.calls.bytes(self.calls.cubin, program),
                Err(why) => {
                    let log = self
                        .calls
                        .bytes(self.calls.log, program)
                        .unwrap_or_default();
                    let log = String::from_utf8_lossy(&log);
                    let log = log.trim_end_matches('\0').trim();
                    Err(format!("refused a kernel: {why}: {log}\n{text}"))
                }
            };
            (self.calls.destroy)(&mut program);
            made
        }
    }
}

/// The same kernel with its info, so many words, in the parameters, where all threads read it at once, in place of a pointer to it.
pub(super) fn by_value(text: &str, words: usize) -> Result<String, String> {
    let parts = text.split_once("farspan_kernel(const u32* __restrict__ info");
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(") {\n")?)));
    let Some((before, (arrays, body))) = parts else {
        return Err(format!(
            "expected a kernel whose first parameter is its info, found\n{text}"
        ));
    };
    Ok(format!(
        "{before}farspan_kernel(const __grid_constant__ Array<u32, {words}> words_of_info{arrays}) {{
    const u32* info = words_of_info.at;\n{body}"
    ))
}

impl Calls {
    fn check(&self, status: Status) -> Result<(), String> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: it gives a string that lives as long as the library.
        let words = unsafe { CStr::from_ptr((self.error)(status)) };
        Err(words.to_string_lossy().into_owned())
    }

    /// What a program has of something.
    ///
    /// # Safety
    /// `program` is one that was made and not destroyed.
    unsafe fn bytes(&self, (ask, give): (Ask, Give), program: Program) -> Result<Vec<u8>, String> {
        let mut size = 0;
        // SAFETY: as many bytes are written as were asked for.
        unsafe {
            self.check(ask(program, &mut size))?;
            let mut bytes = vec![0u8; size];
            self.check(give(program, bytes.as_mut_ptr().cast()))?;
            Ok(bytes)
        }
    }
}
