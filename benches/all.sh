#!/bin/sh
# Redoes every table of docs/performance.md, ours and PyTorch taking turns, in about ten minutes on a quiet machine.
#
#   benches/all.sh [OUT]        OUT: folder for the tables [default: target/bench]
#
# Prints each command and its table in Markdown, as the document has them; OUT/all.md holds the same.
# PYTHON is the interpreter that has torch [default: python3]; without torch only our side is measured.
set -eu
cd "$(dirname "$0")/.."
out=${1:-target/bench}
python=${PYTHON:-python3}
mkdir -p "$out"
cargo build --release
farspan=target/release/farspan
: >"$out/all.md"

set --
if "$python" -c 'import torch' 2>/dev/null; then
    set -- --peer "$python benches/peers/torch_side.py --serve"
else
    echo "no torch in $python: only our side is measured" >&2
fi

run() { # title, arguments…
    title=$1
    shift
    {
        printf '\n### %s\n\n`farspan bench %s`\n\n' "$title" "$*"
        "$farspan" bench "$@" --markdown
    } | tee -a "$out/all.md"
}

peak() { # pass, length: one call of each scheme in a process of its own
    for scheme in nope alibi fire cope stick-breaking selective fox path dape tape; do
        bytes=$("$farspan" bench attention -s $scheme --length "$2" --pass "$1" --peak-only)
        echo "| $scheme | $1 | $2 | $((bytes / 1048576)) |" | tee -a "$out/all.md"
    done
}

# No peer: nothing of it is left to take a core.
run "Matrix products of a training step" products --repeats 9
# What each scheme costs beside NoPE; no peer, so that nothing else warms the machine.
run "Schemes, forward" attention --length 8192 --repeats 5 --pass forward --no-memory \
    -s nope,rope,alibi,t5,kerple,fire,rerope,self-extend
run "Schemes, forward and backward" attention --length 8192 --repeats 3 --pass both --no-memory \
    -s nope,alibi,t5,kerple,fire,rerope
# Against PyTorch.
run "Forward against PyTorch" attention --length 2048 --repeats 7 --pass forward --no-memory \
    -s rope,alibi,t5,kerple,fire "$@"
run "Forward and backward against PyTorch" attention --length 2048 --repeats 5 --pass both --no-memory \
    -s nope,rope,alibi,fire "$@"
run "Schemes that read content" attention --length 4096 --repeats 3 --no-memory \
    -s nope,cope,stick-breaking,selective,fox,path,dape,tape
run "Schemes that read content against PyTorch" attention --length 1024 --repeats 5 --no-memory \
    -s nope,cope,stick-breaking,selective,fox,path,dape,tape "$@"
run "Long windows against PyTorch" attention --length 8192 --repeats 3 --no-memory -s nope "$@"
run "A training step" train -s rope --repeats 7 "$@"
run "Evaluation" eval -s rope,alibi --length 512,4096 --repeats 3 --no-memory
# Memory beyond the inputs.
printf '\n### Memory\n\n| scheme | pass | length | MiB |\n| --- | --- | ---: | ---: |\n' | tee -a "$out/all.md"
peak forward 32768
peak both 16384
