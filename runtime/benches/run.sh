#!/usr/bin/env bash
# The runtime against other tools, for `ci/bench runtime [PART...]`. Everything is timed in turns on one machine (paired.py).
#   folder      120 street photos to a mask a class, default model: clothseg-run, the plain script, the bare network
#   python      the same 120 photos by the Python package (a wheel is built): Segmenter.stream, masks as arrays and as files
#   heavy       40 of them with a network of u2net's clothing interface: clothseg-run, rembg, the script, the bare network
#   full-size   logits to class indices at 12 megapixels: clothseg, torch, OpenCV; time and memory
#   start       one photo by one process: clothseg-run, the same without the photo, the script, rembg
#   large       a JPEG of 24 megapixels to masks
#   stages      where the time of a folder goes, by its manifest
# BENCH_ROUNDS (5) and BENCH_MARKDOWN (a file that the tables are appended to) may be set. folder, heavy and stages
# take the street photos of the folder CLOTHSEG_DATA; without it the sample photos stand in, copied.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=runtime/benches work=$PWD/.cache/bench/runtime rounds=${BENCH_ROUNDS:-5}
onnxruntime=1.32.0 opencv=5.0.0.93 rembg=2.0.86 onnx=1.23.2 numpy=2.4.6 torch=2.15.0
parts=("$@")
[ $# -gt 0 ] || parts=(folder python heavy full-size start large stages)
python=$work/python/bin/python

# A virtual environment in folder $1 with the packages that follow; does nothing when that is done.
install() {
  local folder=$1 packages=${*:2}
  [ "$(cat "$folder/packages" 2>/dev/null)" = "$packages" ] && return
  echo "installing $packages from PyPI ..." >&2
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --no-compile "${@:2}"
  echo "$packages" > "$folder/packages"
}

paired() { # TITLE, then arguments of paired.py
  local markdown=()
  [ -z "${BENCH_MARKDOWN:-}" ] || markdown=(--markdown "$BENCH_MARKDOWN")
  python3 "$here/paired.py" --rounds "$rounds" --title "$1" ${markdown[@]+"${markdown[@]}"} "${@:2}"
}

mkdir -p "$work"
install "$work/python" "onnxruntime==$onnxruntime" "numpy==$numpy" "opencv-python-headless==$opencv" "onnx==$onnx" "rembg[cli]==$rembg"
heavy=$work/u2net/u2net_cloth_seg.onnx
if [ ! -f "$heavy" ]; then
  mkdir -p "${heavy%/*}"
  "$python" "$here/heavy_model.py" "$heavy.part" && mv "$heavy.part" "$heavy"
fi
# For other benchmarks that need the same tools: makes them, and says where they are.
if [ "${parts[0]}" = --tools ]; then
  echo "$work"
  exit
fi
ci/onnxruntime
echo "building ..." >&2
cargo build --release --locked -p clothseg-cli
run=$PWD/${CARGO_TARGET_DIR:-target}/release/clothseg-run
case ${CARGO_TARGET_DIR:-} in /*) run=$CARGO_TARGET_DIR/release/clothseg-run ;; esac
for library in "$PWD"/.cache/onnxruntime/cpu/*onnxruntime.so*; do export ORT_DYLIB_PATH=$library; done
model=$PWD/models/garments-int8.onnx out=$work/out
# rembg looks for its models here, and would compare them with its own.
export U2NET_HOME=$work/u2net MODEL_CHECKSUM_DISABLED=1

photos=${CLOTHSEG_DATA:-}/photos
if [ -z "${CLOTHSEG_DATA:-}" ] || [ ! -d "$photos" ]; then
  photos=$work/photos
  mkdir -p "$photos"
  for number in $(seq 120); do cp samples/hopper.jpg "$photos/$number.jpg"; done
fi
count=$(find "$photos" -maxdepth 1 -type f | wc -l)

folder() {
  paired "$count photos to a mask a class, default model" --items "$count" --clean "$out" \
    "script=$python $here/script.py $model $photos $out" \
    "bare network=$python $here/bare.py $model 224 320 $count" \
    "clothseg-run=$run $photos -o $out --format masks --quiet"
}

# Called so because there is a variable of that name.
python_package() {
  local wheel folder=$work/package
  wheel=$(ci/python --wheel)
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --no-compile "$wheel" "numpy==$numpy"
  paired "$count photos to a mask a class, default model, from Python" --items "$count" --clean "$out" \
    "script=$python $here/script.py $model $photos $out" \
    "stream, arrays=$folder/bin/python $here/stream.py $photos" \
    "stream, files=$folder/bin/python $here/stream.py $photos $out" \
    "clothseg-run=$run $photos -o $out --format masks --quiet"
}

heavy() {
  local some=$work/some
  rm -rf "$some" && mkdir -p "$some"
  find "$photos" -maxdepth 1 -type f | sort | head -40 | xargs -I{} cp {} "$some/"
  paired "40 photos to a mask a class, a network of 768 x 768" --items 40 --clean "$out" \
    "script=$python $here/script.py $heavy $some $out" \
    "rembg=$work/python/bin/rembg p -m u2net_cloth_seg $some $out" \
    "bare network=$python $here/bare.py $heavy 768 768 40" \
    "clothseg-run=$run $some -o $out --model $heavy --spec u2net-cloth --format masks --quiet"
}

full_size() {
  install "$work/torch" "torch==$torch" "numpy==$numpy"
  local step logits=$work/logits.f32 shape
  step=$(cargo bench -p clothseg --bench full_size --locked --no-run --message-format=json | python3 -c '
import json, sys

paths = [m["executable"] for m in map(json.loads, sys.stdin) if m.get("executable") and m["target"]["name"] == "full_size"]
print(paths[-1])')
  shape=$("$step" write samples/hopper.jpg "$logits")
  paired "logits ($shape) to class indices, 4000 x 3000 pixels" \
    "torch=$work/torch/bin/python $here/full_size.py torch $logits $shape 4000 3000" \
    "OpenCV=$python $here/full_size.py opencv $logits $shape 4000 3000" \
    "clothseg=$step run $logits $shape 4000 3000"
}

start() {
  local one=$work/one
  mkdir -p "$one" && cp samples/hopper.jpg "$one/"
  paired "one photo, from the start of the process to its end" --clean "$out" \
    "script=$python $here/script.py $model $one $out" \
    "rembg=$work/python/bin/rembg i -m u2net_cloth_seg $one/hopper.jpg $out/hopper.png" \
    "clothseg-run --info=$run --info" \
    "clothseg-run=$run $one/hopper.jpg -o $out --format masks --quiet"
}

large() {
  local one=$work/large
  if [ ! -f "$one/3.jpg" ]; then
    mkdir -p "$one"
    "$python" "$here/large_photo.py" samples/hopper.jpg "$one/{}.jpg" 4000 6000 4
  fi
  paired "four JPEGs of 24 megapixels to masks, one after another" --items 4 --clean "$out" \
    "script=$python $here/script.py $model $one $out" \
    "bare network=$python $here/bare.py $model 224 320 4" \
    "clothseg-run=$run $one -o $out --format masks --jobs 1 --quiet"
}

stages() {
  rm -rf "$out"
  "$run" "$photos" -o "$out" --format masks --jobs 1 --quiet
  python3 - "$out/manifest.jsonl" <<'END'
import json, sys

timings = [json.loads(line)["timings_ms"] for line in open(sys.argv[1])]
for stage in timings[0]:
    print(f"{stage:12} {sum(one[stage] for one in timings) / len(timings):8.2f} ms a photo")
END
}

for part in "${parts[@]}"; do
  case $part in
    folder | heavy | full-size | start | large | stages) "${part/-/_}" ;;
    python) python_package ;;
    *) echo "ci/bench runtime: there is no part '$part'; there are: folder python heavy full-size start large stages" >&2; exit 2 ;;
  esac
done
