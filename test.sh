#!/usr/bin/env bash
# Everything a change must pass: formatting, lints, documentation, tests.
# On Debian and Ubuntu it installs what is missing: the C compiler that two dependencies need (the tests of CUDA run on a card
# that its sibling for C++ makes); Mesa's software Vulkan, which
# the tests of the wgpu engine run on where there is no GPU (FARSPAN_NO_GPU=1 leaves those tests out); Slurm and an ssh
# server, which the tests of `farspan submit` start for themselves (FARSPAN_NO_CLUSTER=1 leaves those out, and so does a
# machine without apt, in words); Chromium with its driver, which the tests of the page run in (FARSPAN_NO_BROWSER=1 leaves
# those out); NVRTC's library from Python's index, where there is pip. codespell, valgrind and cargo-deny are used where they
# are there or can be installed.
set -euo pipefail
cd "$(dirname "$0")"

command -v cargo >/dev/null || { echo "test.sh: no cargo found; install Rust 1.95 or newer with rustup" >&2; exit 1; }
install() { # packages, what they are
  command -v apt-get >/dev/null || { echo "test.sh: no $2 found; install one" >&2; exit 1; }
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  $as_root apt-get update -q
  $as_root apt-get install -y -q --no-install-recommends $1
}
command -v cc >/dev/null || install build-essential "C compiler (cc)"
no_gpu=${FARSPAN_NO_GPU:-0}
# A driver of Vulkan says so in one of these folders; macOS has Metal.
drivers() { compgen -G "/usr/share/vulkan/icd.d/*.json" || compgen -G "/etc/vulkan/icd.d/*.json"; }
if [ "$no_gpu" != 1 ] && [ "$(uname)" = Linux ] && ! drivers >/dev/null; then
  install mesa-vulkan-drivers "Vulkan driver (or set FARSPAN_NO_GPU=1)"
fi
no_cluster=${FARSPAN_NO_CLUSTER:-0}
sbin=$PATH:/usr/sbin
if [ "$no_cluster" != 1 ] && command -v apt-get >/dev/null; then
  if ! PATH=$sbin command -v slurmctld >/dev/null || ! PATH=$sbin command -v slurmd >/dev/null; then
    install "slurmctld slurmd slurm-client munge" "Slurm (or set FARSPAN_NO_CLUSTER=1)"
  fi
  if ! PATH=$sbin command -v sshd >/dev/null || ! command -v ssh >/dev/null; then
    install "openssh-server openssh-client" "ssh server (or set FARSPAN_NO_CLUSTER=1)"
  fi
fi
no_browser=${FARSPAN_NO_BROWSER:-0}
if [ "$no_browser" != 1 ] && [ "$(uname)" = Linux ] && ! command -v chromedriver >/dev/null; then
  # Where there is no such package the tests say that they are skipped.
  (install chromium-driver "chromedriver (or set FARSPAN_NO_BROWSER=1)") || true
fi
# NVRTC's library compiles CUDA text without a GPU; where it cannot be had, the tests say what they left out.
nvrtc=target/nvrtc
if [ "$(uname -sm)" = "Linux x86_64" ] && [ ! -d $nvrtc/nvidia/cu13/lib ] && python3 -m pip --version >/dev/null 2>&1; then
  mkdir -p $nvrtc
  (python3 -m pip download -q --no-deps --only-binary :all: -d $nvrtc nvidia-cuda-nvrtc==13.0.88 &&
    python3 -m zipfile -e $nvrtc/*.whl $nvrtc && rm $nvrtc/*.whl) || true
fi
for tool in codespell valgrind; do
  command -v "$tool" >/dev/null || (install "$tool" "$tool") || true
done
for tool in fmt clippy; do
  cargo "$tool" --version >/dev/null 2>&1 || rustup component add "${tool/fmt/rustfmt}"
done

step() { printf '\n== %s\n' "$*"; }

step formatting
cargo fmt --all --check

step spelling
if command -v codespell >/dev/null; then codespell; else echo "not checked, because there is no codespell"; fi

step "lints (warnings are errors)"
cargo clippy --release --workspace --all-targets --locked -- -D warnings

step documentation
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked

step "tests (the acceptance tests run the program itself)"
# In one build with the tests, so that they share every dependency.
cargo build --release --workspace --bins --examples --tests --locked
skip=()
[ "$no_gpu" != 1 ] || skip+=(--skip wgpu --skip gpu::)
[ "$no_cluster" != 1 ] || skip+=(--skip slurm --skip ssh)
[ "$no_browser" != 1 ] || skip+=(--skip browser)
mkdir -p target
# What a Vulkan loader says about displays is of no interest here.
cargo test --release --workspace --locked -- "${skip[@]}" 2>&1 | grep -v XDG_RUNTIME_DIR | tee target/test.log

step "memory (what is unsafe, under valgrind)"
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
if command -v valgrind >/dev/null; then
  # Optimised code branches on bits that it then discards, so only reads and writes of foreign memory are of interest.
  env "CARGO_TARGET_${host}_RUNNER=valgrind -q --undef-value-errors=no --error-exitcode=9" \
    cargo test --release --workspace --lib --locked -- --test-threads 1 \
    ops::simd fused::product fused::tests::layer fused::tests::empty_calls ops::tests::linear
else
  echo "not checked, because there is no valgrind"
fi

step "advisories"
if command -v cargo-deny >/dev/null; then cargo deny check; else echo "not checked, because there is no cargo-deny"; fi

if [ "$no_gpu" = 1 ]; then
  echo "GPU tests: none, because FARSPAN_NO_GPU=1"
else
  ran=$(grep -cE "^test .*(wgpu|gpu::).* ok$" target/test.log)
  echo "GPU tests: $ran ran on $(target/release/farspan list devices --json 2>/dev/null | sed -n 's/.*"note": *"wgpu:0: available; \([^"]*\)".*/\1/p')"
fi
if command -v "${CXX:-c++}" >/dev/null; then
  echo "CUDA tests: $(grep -cE '^test .*cuda_.* ok$' target/test.log) ran on a card made of C++"
else
  echo "CUDA tests: skipped, because there is no C++ compiler to make a card of"
fi
if [ -f $nvrtc/table.txt ]; then
  echo "CUDA kernels: $(grep -c '^sm_' $nvrtc/table.txt) compiled by NVRTC, without spills; $nvrtc/table.txt lists them"
else
  echo "CUDA kernels: translated, not compiled, because there is no NVRTC"
fi
if [ "$no_browser" = 1 ]; then
  echo "Browser tests: none, because FARSPAN_NO_BROWSER=1"
elif command -v chromedriver >/dev/null; then
  echo "Browser tests: $(grep -c '^test browser_.* ok$' target/test.log) ran in $(chromium --version 2>/dev/null || echo the browser found)"
else
  echo "Browser tests: skipped, because there is no chromedriver"
fi
