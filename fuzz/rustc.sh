#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER of run.sh: compiles our own crates so that libFuzzer sees which branches are taken. The
# flags are those of cargo-fuzz, without a sanitizer.
case "$*" in
    *" --crate-type "*) exec "$@" --cfg fuzzing -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares ;;
    # Cargo's questions about the compiler.
    *) exec "$@" ;;
esac
