#!/bin/sh
# Measures a card: parity of every scheme, then attention and a training step beside PyTorch on the same card, CUDA beside
# wgpu. In under eight minutes, nothing heavy is built: the program and the tests are, where they are not there yet.
#
#   benches/gpu.sh [OUT]        OUT: folder for the tables [default: target/bench]
#
# Prints each command and its table in Markdown; OUT/gpu.md holds the same.
# PYTHON is the interpreter that has torch [default: python3]; without torch only our side is measured, and a wheel's NVRTC
# must be found otherwise (docs/gpu.md). DEVICES are the devices to measure [default: "cuda wgpu"].
# Written without a card at hand: nobody has run it on one yet.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/bench}
python=${PYTHON:-python3}
devices=${DEVICES:-cuda wgpu}
mkdir -p "$out"
[ -x target/release/farspan ] || cargo build --release
farspan=target/release/farspan
report=$out/gpu.md
# The wheels that torch came with hold NVRTC and cuBLAS.
prefix=$("$python" -c 'import sys; print(sys.prefix)' 2>/dev/null) && export VIRTUAL_ENV="${VIRTUAL_ENV:-$prefix}"
"$farspan" list devices | tee "$report"

# Seconds that one command may take: a card that hangs must not take all of the time.
within() { timeout "$@"; }

set --
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    set -- --peer "$python benches/peers/torch_side.py --serve --device cuda"
else
    echo "no torch with CUDA in $python: only our side is measured" >&2
fi

parity() { # device
    printf '\n### Parity on %s\n\n' "$1" | tee -a "$report"
    # The acceptance tests' own comparison, on a real device in place of the one made of C++.
    FARSPAN_PARITY_DEVICE=$1 within 120 cargo test --release --workspace --test parity -- --nocapture 2>&1 |
        grep -E '^(test |on |[a-z0-9-]+: )' | tee -a "$report" || true
}

run() { # seconds, title, arguments…
    seconds=$1
    title=$2
    shift 2
    {
        printf '\n### %s\n\n`farspan bench %s`\n\n' "$title" "$*"
        within "$seconds" "$farspan" bench "$@" --markdown || echo "did not end well within $seconds s"
    } | tee -a "$report"
}

for device in $devices; do
    parity "$device"
done
for device in $devices; do
    # PyTorch is measured beside CUDA only: wgpu is measured beside CUDA.
    [ "$device" = cuda ] || set --
    run 60 "Attention forward on $device" attention --device "$device" --length 2048,8192 --heads 16 --repeats 5 --no-memory \
        --pass forward -s nope,alibi,t5,kerple,fire,rerope "$@"
    run 90 "Attention forward and backward on $device" attention --device "$device" --length 2048 --heads 16 --repeats 5 \
        --no-memory --pass both -s nope,alibi,t5,kerple,fire "$@"
    # 125 million parameters.
    run 90 "A training step of 125M on $device" train --device "$device" -s rope --length 1024 --batch 8 --width 768 --heads 12 \
        --layers 12 --hidden 2048 --vocab 50257 --repeats 5 --no-memory "$@"
done
