#!/bin/sh
# Redoes every table of docs/performance.md, ours and PyTorch taking turns, in under ten minutes on a quiet machine.
#
#   benches/all.sh [OUT]        OUT: folder for the JSON and the tables [default: target/bench]
#
# PYTHON is the interpreter that has torch [default: python3]; without torch only our side is measured.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/bench}
python=${PYTHON:-python3}
mkdir -p "$out"
cargo build --release
farspan=target/release/farspan

set --
if "$python" -c 'import torch' 2>/dev/null; then
    set -- --peer "$python benches/peers/torch_side.py --serve"
else
    echo "no torch in $python: only our side is measured" >&2
fi

run() { # name, arguments…
    name=$1
    shift
    echo "== $name: farspan bench $*" | tee "$out/$name.txt"
    "$farspan" bench "$@" | tee -a "$out/$name.txt"
}

# What each scheme costs beside NoPE; no peer, so that nothing else warms the machine.
run schemes attention --length 8192 --repeats 5 \
    -s nope -s rope -s alibi -s t5 -s kerple -s fire -s rerope -s self-extend
# Against PyTorch.
run forward-2k attention --length 2048 --repeats 7 --pass forward --no-memory "$@"
run both-2k attention --length 2048 --repeats 5 --pass both --no-memory "$@"
run rope-long attention -s nope,rope --length 4096,8192,16384 --repeats 3 --no-memory "$@"
run bias-8k attention -s nope,alibi,t5 --length 8192 --repeats 3 --pass forward --no-memory "$@"
run train train -s rope --repeats 7 "$@"
run eval eval -s rope,alibi --length 512,4096 --repeats 3
# Memory beyond the inputs: these two are the bounds.
run memory-32k attention -s nope,rope,alibi,t5,fire --length 32768 --repeats 1 --pass forward
run memory-16k attention -s nope,rope,alibi,t5,fire --length 16384 --repeats 1 --pass both
