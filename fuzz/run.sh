#!/usr/bin/env bash
# fuzz/run.sh SECONDS [TARGET...]: runs each fuzz target (all, when none is named) that long.
#
# libFuzzer on the stable toolchain: the coverage flags are those of cargo-fuzz, without a
# sanitizer. Corpora and crashes are kept in the cache; exits non-zero when a target fails.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=($(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' Cargo.toml))
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/sealift
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$cache/fuzz-target
export RUSTFLAGS="-Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares \
--cfg fuzzing"

# --target keeps the flags away from build scripts and macros, which run in the compiler.
for target in "${targets[@]}"; do
    bins+=(--bin "$target")
done
cargo build --release --target "$host" "${bins[@]}"

failed=()
for target in "${targets[@]}"; do
    corpus=$cache/fuzz-corpus/$target
    crashes=$cache/fuzz-crashes/$target
    mkdir -p "$corpus" "$crashes"
    echo "== $target: $seconds s, corpus $corpus"
    "$CARGO_TARGET_DIR/$host/release/$target" "$corpus" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="$crashes/" || failed+=("$target")
done

for target in ${failed[@]+"${failed[@]}"}; do
    echo "$target FAILED; the input is the newest file in $cache/fuzz-crashes/$target" >&2
    ls -t "$cache/fuzz-crashes/$target" | head -1 >&2
done
[ ${#failed[@]} -eq 0 ]
