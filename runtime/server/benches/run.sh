#!/usr/bin/env bash
# clothseg-serve under load: see load.py. `ci/bench server [PHOTOS] [OPTION...]` runs it; `ci/bench server rembg [PHOTOS] [OPTION...]`
# compares it with rembg's server on one network: see rembg.py, and runtime/benches/run.sh for the network and rembg.
#   PHOTOS: a folder of JPEGs; the sample photos without it
set -euo pipefail
cd "$(dirname "$0")/../../.."

python=$(command -v python3 || command -v python) || {
  echo "ci/bench server: Python 3 is needed" >&2
  exit 1
}
cargo build --release --locked -p clothseg-cli -p clothseg-server
target=${CARGO_TARGET_DIR:-target}
if [ "${1:-}" = rembg ]; then
  shift
  tools=$(runtime/benches/run.sh --tools)
  exec "$python" runtime/server/benches/rembg.py --serve "$target/release/clothseg-serve" --rembg "$tools/python/bin/rembg" \
    --model "$tools/u2net/u2net_cloth_seg.onnx" "$@"
fi
exec "$python" runtime/server/benches/load.py --run "$target/release/clothseg-run" --serve "$target/release/clothseg-serve" "$@"
