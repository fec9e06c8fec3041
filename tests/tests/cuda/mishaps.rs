//! What is missing, too old, full, damaged or lost, and what is said of it.

use farspan_acceptance::fake_cuda::{self, folder, inside, skipped, with_card};
use farspan_acceptance::{farspan, text};
use farspan_attention::{Device, Tensor};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What `list devices` says of the first card, where the machine is changed by `change`.
fn told(change: &dyn Fn(&mut Command, &Path)) -> Option<String> {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => {
            skipped(&why);
            return None;
        }
    };
    let mut command = with_card(folder, farspan(&["list", "devices", "--json"]));
    change(&mut command, folder);
    let output = command.output().expect("the program starts");
    let all = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let listed: Value = serde_json::from_str(&all).expect("JSON");
    let mut each = listed.as_array().expect("a list").iter();
    let card = each.find(|device| device["device"] == "cuda");
    let card = card.unwrap_or_else(|| panic!("no card in {all}"));
    let usable = if card["usable"] == true { "yes" } else { "no" };
    Some(format!(
        "{usable}: {}",
        card["note"].as_str().expect("words")
    ))
}

/// The machine as it comes, changed by a variable.
fn with(name: &str, value: &str) -> Option<String> {
    told(&|command, _| {
        command.env(name, value);
    })
}

fn says(told: Option<String>, words: &[&str]) {
    for word in words {
        let told = told.as_deref().unwrap_or(word);
        assert!(told.contains(word), "{word}: {told}");
    }
}

#[test]
fn cuda_tells_what_is_missing() {
    let whole = with("FAKE_CARDS", "1");
    says(
        whole,
        &[
            "yes",
            "a fake card (sm_80, driver of CUDA 12.8, NVRTC 12.8, cuBLAS 12.8.8)",
        ],
    );
    let no_driver = told(&|command, folder| {
        let empty = folder.join("empty");
        fs::create_dir_all(&empty).expect("target can be written");
        command.env("LD_LIBRARY_PATH", empty);
    });
    // A machine with a driver of its own has its own words.
    if !Path::new("/proc/driver/nvidia").exists() {
        says(
            no_driver,
            &["no driver of NVIDIA was found; looked for libcuda.so and libcuda.so.1"],
        );
    }
    let none = told(&|command, folder| {
        command.env("FARSPAN_NVRTC", folder.join("libnvrtc.so.7"));
    });
    says(
        none,
        &[
            "NVRTC at",
            "libnvrtc.so.7 (FARSPAN_NVRTC): there is no such file",
        ],
    );
    // Where nothing names it, the loader's path is looked in.
    let found = told(&|command, _| {
        command.env_remove("FARSPAN_NVRTC");
    });
    says(found, &["NVRTC 12."]);
    says(with("FAKE_CARDS", "0"), &["CUDA_ERROR_NO_DEVICE"]);
    says(
        with("FARSPAN_CUBLAS", "none"),
        &["yes", "no cuBLAS: matrix products by generated kernels"],
    );
    says(
        with("FARSPAN_CUBLAS", "/nowhere/libcublas.so"),
        &["cuBLAS at /nowhere/libcublas.so"],
    );
}

#[test]
fn cuda_rounds_only_where_it_can() {
    let Ok(folder) = folder() else {
        return skipped("see the other tests");
    };
    let explained = |device: &str, variable: (&str, &str)| {
        let arguments = ["explain", "alibi", "--length=33", "--device", device];
        let mut command = with_card(folder, farspan(&arguments));
        let output = command.env(variable.0, variable.1).output();
        let output = output.expect("the program starts");
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let none = ("FAKE_CARDS", "1");
    for (device, variable, works, words) in [
        ("cuda+bf16", none, true, "products and attention in bf16"),
        ("cuda:0+tf32", none, true, "products in tf32"),
        (
            "cuda+bf16",
            ("FAKE_ARCHITECTURE", "75"),
            false,
            "tensor cores take tf32 and bf16 from sm_80 on",
        ),
        (
            "cuda+tf32",
            ("FARSPAN_CUBLAS", "none"),
            false,
            "matrix products in tf32 and bf16 are those of cuBLAS: FARSPAN_CUBLAS is none",
        ),
        ("cuda+f16", none, false, "expected tf32 or bf16"),
    ] {
        let (worked, said) = explained(device, variable);
        assert!(worked == works && said.contains(words), "{device}: {said}");
    }
}

#[test]
fn cuda_tells_what_is_too_old() {
    says(
        with("FAKE_DRIVER", "11040"),
        &["expected a driver for CUDA 12.0 or newer (525), found one for CUDA 11.4"],
    );
    let of_13 = with("FAKE_NVRTC_VERSION", "1300");
    says(
        of_13,
        &["expected version 12 or older, which is the driver's, found 13.0"],
    );
    says(
        with("FAKE_ARCHITECTURE", "61"),
        &["expected a card of architecture sm_70 or newer, found a fake card, sm_61"],
    );
    says(with("FAKE_ARCHITECTURE", "75"), &["yes", "sm_75"]);
    // Code for sm_86 runs on sm_87; no code of another generation does.
    says(with("FAKE_ARCHITECTURE", "87"), &["yes", "sm_87"]);
    says(
        with("FAKE_ARCHITECTURE", "130"),
        &["NVRTC 12.8 compiles for sm_50 to sm_120, and the card is sm_130"],
    );
}

/// NVIDIA's own compiler, where `test.sh` fetched it, takes what the driver hands it; the card, which is none, refuses what
/// comes of that, in words.
#[test]
fn cuda_kernels_pass_through_nvrtc() {
    let Ok(folder) = folder() else {
        return skipped("see the other tests");
    };
    let target = folder.ancestors().nth(2).expect("target");
    let nvrtc = target.join("nvrtc/nvidia/cu13/lib/libnvrtc.so.13");
    if !nvrtc.exists() {
        return skipped(&format!("there is no {}", nvrtc.display()));
    }
    let place = tempfile::tempdir().expect("a folder");
    let arguments = ["explain", "fire", "--device=cuda", "--length=33"];
    for (architecture, made) in [("80", "sm_80"), ("90", "sm_90")] {
        let mut command = with_card(folder, farspan(&arguments));
        command
            .env("FARSPAN_NVRTC", &nvrtc)
            .env("FARSPAN_CACHE", place.path())
            .env("FAKE_DRIVER", "13000")
            .env("FAKE_ARCHITECTURE", architecture);
        let output = command.output().expect("the program starts");
        let words = text(&output.stderr);
        let refused = words.contains("refused a kernel: CUDA_ERROR_INVALID_IMAGE");
        assert!(
            !output.status.success() && refused && words.contains(made),
            "{words}"
        );
    }
    let kept = fs::read_dir(fake_cuda::kernels(place.path())).expect("kernels are kept");
    assert_eq!(kept.count(), 2);
}

/// Ones on a card, and their sum.
fn summed(device: &Device, count: usize) -> farspan_attention::Result<f32> {
    let ones = Tensor::full(1f32, count, device)?;
    ones.sum_keepdim(0)?.to_flat::<f32>().map(|sum| sum[0])
}

#[test]
fn cuda_tells_that_memory_is_short_and_goes_on() {
    inside(
        "mishaps::cuda_tells_that_memory_is_short_and_goes_on",
        &[("FAKE_MEMORY", "8388608")],
        &|| {
            let device = super::card("cuda");
            let held = Tensor::full(1f32, 1 << 20, &device).expect("4 MiB of 8");
            // Unused memory of other sizes is given back first.
            drop(Tensor::full(1f32, 700_000, &device).expect("3 MiB"));
            assert_eq!(
                summed(&device, 3 << 18).expect("3 MiB once more"),
                (3 << 18) as f32
            );
            let message = Tensor::full(1f32, 2 << 20, &device)
                .expect_err("too much")
                .to_string();
            for words in [
                "no memory for an array of 8388608 bytes beside the 4194304 bytes",
                "CUDA_ERROR_OUT_OF_MEMORY",
            ] {
                assert!(message.contains(words), "{message}");
            }
            assert_eq!(held.to_flat::<f32>().expect("it goes on").len(), 1 << 20);
        },
    );
}

#[test]
fn cuda_tells_that_the_card_is_lost_and_opens_it_again() {
    inside(
        "mishaps::cuda_tells_that_the_card_is_lost_and_opens_it_again",
        &[("FAKE_LOST", "3")],
        &|| {
            let message = {
                let device = super::card("cuda");
                assert_eq!(summed(&device, 9).expect("first kernels"), 9.0);
                let message = summed(&device, 9).expect_err("the third").to_string();
                let later = summed(&device, 9).expect_err("lost for good").to_string();
                assert!(later.contains("the device was lost"), "{later}");
                message
            };
            assert!(
                message.contains("\"cuda:0\": a fake card")
                    && message.contains("CUDA_ERROR_ECC_UNCORRECTABLE"),
                "{message}"
            );
            assert_eq!(summed(&super::card("cuda"), 9).expect("opened again"), 9.0);
        },
    );
}

#[test]
fn cuda_compiles_a_damaged_kernel_anew() {
    let Ok(folder) = folder() else {
        return skipped("see the other tests");
    };
    let place = tempfile::tempdir().expect("a folder");
    let counted = place.path().join("compiled");
    let compiled = || fs::read(&counted).map_or(0, |x| x.len());
    let look = || {
        let arguments = [
            "explain",
            "alibi",
            "--device=cuda",
            "--json",
            "--heads=2",
            "--head-dim=8",
            "--length=9",
        ];
        let mut command = with_card(folder, farspan(&arguments));
        command
            .env("FARSPAN_CACHE", place.path())
            .env("FAKE_COMPILED", &counted);
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let first = look();
    let once = compiled();
    assert!(once >= 4, "{once} kernels");
    assert_eq!(look(), first);
    assert_eq!(compiled(), once, "kernels are kept");
    let kept: Vec<_> = fs::read_dir(fake_cuda::kernels(place.path()))
        .expect("kernels are kept")
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(kept.len(), once);
    let bytes = fs::read(&kept[0]).expect("a kernel");
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    fs::write(&kept[0], damaged).expect("written");
    fs::write(&kept[1], &bytes[..20]).expect("written");
    assert_eq!(look(), first);
    assert_eq!(compiled(), once + 2);
    assert_eq!(fs::read(&kept[0]).map(|x| x.len()).ok(), Some(bytes.len()));
    // A folder that cannot be written costs time and nothing else.
    let mut command = with_card(
        folder,
        farspan(&["explain", "alibi", "--device=cuda", "--length=9"]),
    );
    command.env("FARSPAN_CACHE", "/dev/null/nowhere");
    assert!(
        command
            .output()
            .expect("the program starts")
            .status
            .success()
    );
}
