#!/usr/bin/env bash
# Feeds damaged and odd input to what reads files from anywhere, for `ci/bench fuzz [SECONDS [TARGET...]]`: each target for so many
# seconds (60), all of them where none is named. What breaks one is kept in fuzz/artifacts. Needs cargo-fuzz (installed here
# where it is missing) and g++.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
targets=("${@:2}")
[ ${#targets[@]} -gt 0 ] || targets=(decode spec polygons smooth manifest)
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
# Instrumentation without a sanitizer works with a stable compiler that is told not to mind; the code has no `unsafe` here.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
  case $target in
    decode) seeds=runtime/tests/fixtures ;;
    spec) seeds=models/sidecars ;;
    *) seeds=fuzz/seeds/$target ;;
  esac
  mkdir -p "fuzz/corpus/$target"
  cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "$seeds" -- \
    -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=4096 -timeout=20 -print_final_stats=1
done
