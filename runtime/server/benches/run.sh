#!/usr/bin/env bash
# clothseg-serve under load: see load.py. `ci/bench server [PHOTOS] [OPTION...]` runs it.
#   PHOTOS: a folder of JPEGs; the sample photos without it
set -euo pipefail
cd "$(dirname "$0")/../../.."

python=$(command -v python3 || command -v python) || {
  echo "ci/bench server: Python 3 is needed" >&2
  exit 1
}
cargo build --release --locked -p clothseg-cli -p clothseg-server
target=${CARGO_TARGET_DIR:-target}
exec "$python" runtime/server/benches/load.py --run "$target/release/clothseg-run" --serve "$target/release/clothseg-serve" "$@"
