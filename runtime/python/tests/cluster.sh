#!/usr/bin/env bash
# The tests that need other engines, for `ci/bench cluster [ARGUMENT...]`; arguments go to pytest. The command on Ray, with kills and
# lost nodes, the recipes of docs/cluster.md with Daft, Dask and Spark, and the converter for FiftyOne. Builds the wheel, and installs
# it and the engines from PyPI into .cache/bench/cluster (2 GB); the engines are installed once. CLOTHSEG_WHEEL may name a wheel that
# is there already. An engine that cannot be installed here is named, and its tests are left out. Any other test that is skipped is a
# failure. Ray gives up where the machine is so busy that its processes do not start within 30 s: leave the machine alone meanwhile.
# Needs Rust and Python 3.11 or later with pip; Spark needs Java 17 or later.
set -euo pipefail
cd "$(dirname "$0")/../../.."
folder=$PWD/.cache/bench/cluster

base=(fsspec==2026.9.0 numpy==2.4.6 onnxruntime==1.32.0 pillow==13.0.0 pyarrow==25.0.1 pytest==9.2.0)
engines=("ray[data]==2.60.0" daft==0.7.26 dask==2026.8.0 pyspark==4.3.0 fiftyone==1.22.1)

python=$(command -v python3 || command -v python) || {
  echo "ci/bench cluster: Python 3.11 or later with pip is needed" >&2
  exit 1
}
wheel=${CLOTHSEG_WHEEL:-$(ci/python --wheel)}

# Nothing that is started here reports anything.
export ORT_DISABLE_TELEMETRY=1 RAY_USAGE_STATS_ENABLED=0 DAFT_ANALYTICS_ENABLED=0 FIFTYONE_DO_NOT_TRACK=1
# The package finds the library by itself.
unset ORT_DYLIB_PATH RAY_ADDRESS

install() { "$folder/bin/python" -m pip install --quiet --no-compile "$@"; }

versions="${base[*]} ${engines[*]}"
if [ "$(cat "$folder/versions" 2>/dev/null)" != "$versions" ]; then
  echo "installing $versions from PyPI into $folder ..." >&2
  rm -rf "$folder"
  mkdir -p "${folder%/*}"
  "$python" -m venv "$folder"
  install "${base[@]}"
  whole=yes
  for engine in "${engines[@]}"; do
    # With the versions of all, so that none brings others.
    install "$engine" "${base[@]}" || { echo "ci/bench cluster: $engine cannot be installed here" >&2; whole=; }
  done
  # What is missing is tried again the next time.
  [ -z "$whole" ] || echo "$versions" > "$folder/versions"
fi
install --force-reinstall --no-deps "$wheel"

has() { "$folder/bin/python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "$1"; }

left_out=() chosen=(tests/test_cluster.py tests/test_listing.py tests/test_ray_command.py)
choose() { # NAME MODULE TEST
  if has "$2"; then chosen+=("$3"); else left_out+=("$1"); fi
}
choose Ray ray tests/test_ray.py
for engine in daft dask; do
  choose "$engine" "$engine" "tests/test_recipes.py::test_a_recipe_does_every_photo_once[$engine]"
done
if command -v java >/dev/null; then
  choose Spark pyspark "tests/test_recipes.py::test_a_recipe_does_every_photo_once[spark]"
else
  left_out+=("Spark, for which there is no java")
fi
choose FiftyOne fiftyone tests/test_convert.py::test_fiftyone_gives_the_masks_back

cd runtime/python
report=$(mktemp)
trap 'rm -f "$report"' EXIT
"$folder/bin/python" -m pytest -rs "${chosen[@]}" "$@" | tee "$report"
if grep -q '^SKIPPED' "$report"; then
  echo "ci/bench cluster: tests were skipped that should have run, see above" >&2
  exit 1
fi
for name in ${left_out[@]+"${left_out[@]}"}; do
  echo "ci/bench cluster: not tested here: $name" >&2
done
