#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET...]: runs each fuzz target (all, when none is named) that long.
#
# libFuzzer on the stable toolchain. Corpora and crashes are kept in the cache; exits non-zero when a target fails.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=($(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' Cargo.toml))
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sealift
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

# Of what the tests' build made, only our own crates are made again, watched by libFuzzer.
for target in "${targets[@]}"; do
    bins+=(--bin "$target")
done
RUSTC_WORKSPACE_WRAPPER=$PWD/rustc.sh cargo build -p sealift-fuzz "${bins[@]}"

failed=()
for target in "${targets[@]}"; do
    corpus=$cache/fuzz-corpus/$target
    crashes=$cache/fuzz-crashes/$target
    mkdir -p "$corpus" "$crashes"
    echo "== $target: $seconds s, corpus $corpus"
    "$CARGO_TARGET_DIR/debug/$target" "$corpus" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$crashes/" || failed+=("$target")
done

for target in ${failed[@]+"${failed[@]}"}; do
    echo "$target FAILED; the input is the newest file in $cache/fuzz-crashes/$target" >&2
    ls -t "$cache/fuzz-crashes/$target" | head -1 >&2
done
[ ${#failed[@]} -eq 0 ]
