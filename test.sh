#!/usr/bin/env bash
# Everything a change must pass: formatting, lints, documentation, tests.
# On Debian and Ubuntu it installs the C compiler that two dependencies need, if there is none.
set -euo pipefail
cd "$(dirname "$0")"

command -v cargo >/dev/null || { echo "test.sh: no cargo found; install Rust 1.95 or newer with rustup" >&2; exit 1; }
if ! command -v cc >/dev/null; then
  command -v apt-get >/dev/null || { echo "test.sh: no C compiler (cc) found; install one" >&2; exit 1; }
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root=sudo
  $as_root apt-get update -q
  $as_root apt-get install -y -q --no-install-recommends build-essential
fi
for tool in fmt clippy; do
  cargo "$tool" --version >/dev/null 2>&1 || rustup component add "${tool/fmt/rustfmt}"
done

step() { printf '\n== %s\n' "$*"; }

step formatting
cargo fmt --all --check

step "lints (warnings are errors)"
cargo clippy --release --workspace --all-targets --locked -- -D warnings

step documentation
RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked

step "tests (the acceptance tests run the program itself)"
cargo build --release --locked
cargo test --release --workspace --locked
