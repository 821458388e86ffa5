#!/usr/bin/env bash
# The figures of the models' cards, for `ci/bench model [MODEL...]`: scores on the data that the model's config validates and
# tests on, and the network's time. A model is a name in models/ without `.onnx`; all that a config in trainer/configs
# describes where none is named. Needs the data folder, which CLOTHSEG_DATA names.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${CLOTHSEG_DATA:?"ci/bench model: set CLOTHSEG_DATA to the folder of the data sets"}
for folder in "$data" "$data/photos"; do
  if [ ! -d "$folder" ]; then
    echo "ci/bench model: there is no folder $folder; set CLOTHSEG_DATA" >&2
    exit 1
  fi
done
config_of() { echo "trainer/configs/${1%-int8}.toml"; }
if [ $# -eq 0 ]; then
  for file in models/*.onnx; do
    name=$(basename "$file" .onnx)
    [ ! -f "$(config_of "$name")" ] || set -- "$@" "$name"
  done
fi

ci/onnxruntime
echo "building ..." >&2
cargo build --release --locked -p clothseg-cli -p clothseg-trainer --bins
target=${CARGO_TARGET_DIR:-target}
for library in "$PWD"/.cache/onnxruntime/cpu/*onnxruntime.so*; do export ORT_DYLIB_PATH=$library; done
work=$PWD/.cache/bench/model
mkdir -p "$work"

# One line of the table of scores: MODEL QUALITY DATA [OPTION of eval]
scores() {
  local csv=$work/$1-$2-$3.csv
  "$target/release/clothseg-train" eval "models/$1.onnx" --data "$(config_of "$1")" --quality "$2" --csv "$csv" \
    --markdown "${csv%.csv}.md" "${@:4}" > /dev/null 2> "$work/log" || { cat "$work/log" >&2; exit 1; }
  python3 - "$csv" "$@" <<'PYTHON'
import csv, sys

rows = {row["class"]: row for row in csv.DictReader(open(sys.argv[1], newline=""))}
names = ["mean garment IoU", "any-garment IoU", "study's mean IoU", "study's mean IoU, 17 classes",
         "study's mean IoU, 2 classes"]
values = [f"{100 * float(rows[name]['iou']):.1f} %" if name in rows and rows[name]["iou"] else "-" for name in names]
print("|", " | ".join([*sys.argv[2:5], rows[names[0]]["photos"], *values]), "|")
PYTHON
}

# Milliseconds of the network a photo, one photo at a time: MODEL THREADS
network_ms() {
  local out=$work/out
  rm -rf "$out"
  "$target/release/clothseg-run" "$data/photos" -o "$out" --format json --jobs 1 --threads "$2" --quiet \
    --model "models/$1.onnx" || return 1
  python3 - "$out/manifest.jsonl" <<'PYTHON'
import json, statistics, sys

lines = [json.loads(line) for line in open(sys.argv[1])]
print(f"{statistics.median(line['timings_ms']['inference'] for line in lines if line['status'] == 'done'):.1f}")
PYTHON
}

echo "| model | quality | data | photos | mean garment IoU | any-garment IoU | study's mean IoU | 17 classes | 2 classes |"
echo "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
for model in "$@"; do
  is_valid_unseen=true
  case $model in imaterialist47*) is_valid_unseen=false ;; esac # trained on it: see its config
  for quality in fast best; do
    ! $is_valid_unseen || scores "$model" "$quality" valid
    ! grep -q '^\[\[data.test\]\]' "$(config_of "$model")" || scores "$model" "$quality" test --test
  done
  ! $is_valid_unseen || scores "$model" fast valid-no-cleanup --no-cleanup
done
echo
echo "| model | MB | network, ms a photo, 1 thread | $(nproc) threads |"
echo "| --- | ---: | ---: | ---: |"
for model in "$@"; do
  size=$(wc -c < "models/$model.onnx" | awk '{ printf "%.1f", $1 / 1e6 }')
  one=$(network_ms "$model" 1)
  all=$(network_ms "$model" "$(nproc)")
  echo "| $model | $size | $one | $all |"
done
echo
echo "Class by class: $work/MODEL-QUALITY-DATA.md"
