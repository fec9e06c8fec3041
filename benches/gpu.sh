#!/bin/sh
# Measures a card: parity of every scheme, then attention and a training step beside PyTorch on the same card, CUDA beside
# wgpu. Measuring ends after eight minutes, the most telling first; what was left out is said. Nothing heavy is built: the
# program and the tests are, where they are not there yet.
#
#   benches/gpu.sh [OUT]        OUT: folder for the tables [default: target/bench]
#
# Prints each command and its table in Markdown; OUT/gpu.md holds the same.
# PYTHON is the interpreter that has torch [default: python3]; without torch only our side is measured, and a wheel's NVRTC
# must be found otherwise (docs/gpu.md). DEVICES are the devices to measure [default: "cuda+bf16 cuda wgpu"].
# Written without a card at hand: nobody has run it on one yet.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/bench}
python=${PYTHON:-python3}
devices=${DEVICES:-cuda+bf16 cuda wgpu}
mkdir -p "$out"
[ -x target/release/farspan ] || cargo build --release
farspan=target/release/farspan
report=$out/gpu.md
# The wheels that torch came with hold NVRTC and cuBLAS.
prefix=$("$python" -c 'import sys; print(sys.prefix)' 2>/dev/null) && export VIRTUAL_ENV="${VIRTUAL_ENV:-$prefix}"
"$farspan" list devices | tee "$report"

# Seconds that one command may take, at most those that are left: a card that hangs must not take all of the time.
end=$(($(date +%s) + 480))
within() { # seconds, command…
    left=$((end - $(date +%s)))
    [ "$left" -gt 5 ] || { echo "left out: the eight minutes are over" && return 1; }
    [ "$1" -lt "$left" ] && left=$1
    shift
    timeout "$left" "$@"
}

torch=
if "$python" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    torch="$python benches/peers/torch_side.py --serve --device cuda"
else
    echo "no torch with CUDA in $python: only our side is measured" >&2
fi

parity() { # device
    printf '\n### Parity on %s\n\n' "$1" | tee -a "$report"
    # The acceptance tests' own comparison, on a real device in place of the one made of C++.
    FARSPAN_PARITY_DEVICE=$1 within 90 cargo test --release --workspace --test parity -- --nocapture 2>&1 |
        grep -E '^(test |on |left out|[a-z0-9-]+: )' | tee -a "$report" || true
}

run() { # seconds, title, arguments…
    seconds=$1
    title=$2
    shift 2
    {
        printf '\n### %s\n\n`farspan bench %s`\n\n' "$title" "$*"
        within "$seconds" "$farspan" bench "$@" --markdown || echo "not to its end within $seconds s"
    } | tee -a "$report"
}

for device in $devices; do
    parity "$device"
done
for device in $devices; do
    # wgpu is measured beside CUDA, and CUDA beside PyTorch that rounds as it does.
    set --
    case $device in
        *+bf16) [ -z "$torch" ] || set -- --peer "$torch --bf16" ;;
        cuda*) [ -z "$torch" ] || set -- --peer "$torch" ;;
    esac
    for dim in 64 128; do
        run 40 "Attention forward on $device, heads of $dim" attention --device "$device" --length 2048,8192,32768 \
            --heads $((1024 / dim)) --head-dim "$dim" --repeats 5 --no-memory --pass forward -s nope,alibi,t5,kerple,fire,rerope "$@"
        run 40 "Attention forward and backward on $device, heads of $dim" attention --device "$device" --length 2048,8192 \
            --heads $((1024 / dim)) --head-dim "$dim" --repeats 5 --no-memory --pass both -s nope,alibi,t5,kerple,fire,rerope "$@"
    done
    run 45 "A training step of 125M on $device" train --device "$device" -s rope --length 1024 --batch 8 --width 768 --heads 12 \
        --layers 12 --hidden 2048 --vocab 50257 --repeats 5 --no-memory "$@"
done
