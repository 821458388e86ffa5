"""`python -m clothseg`, `clothseg-run`, and what happens around the library."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clothseg

SCRIPT = Path(sysconfig.get_path("scripts"), "clothseg-run")


def run(*arguments: object, command: list[str] | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = command or [sys.executable, "-m", "clothseg"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("command", [[sys.executable, "-m", "clothseg"], [str(SCRIPT)]], ids=["module", "script"])
def test_the_program_writes_what_the_package_finds(
    command: list[str], segment: clothseg.Segmenter, astronaut: Path, tmp_path: Path
) -> None:
    done = run(astronaut, "-o", tmp_path, "--format", "labels", command=command)
    assert done.returncode == 0, done.stderr
    assert "ONNX Runtime" in done.stderr
    labels = np.asarray(PIL.Image.open(tmp_path / "astronaut.labels.png"))
    np.testing.assert_array_equal(labels, segment(astronaut).labels)


def test_exit_statuses_help_and_version_are_those_of_the_program(tmp_path: Path) -> None:
    done = run("--version")
    assert done.returncode == 0 and done.stdout.strip() == f"clothseg-run {clothseg.__version__}"
    assert "Usage: clothseg-run" in run("--help").stdout
    assert run("--nonsense").returncode == 2
    assert run(tmp_path / "absent.jpg", "-o", tmp_path / "out").returncode != 0
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    assert run(tmp_path / "bad.jpg", "-o", tmp_path / "out").returncode == 1
    info = json.loads(run("--info=json").stdout)
    assert info["provider"] == "cpu" and "onnxruntime" in info["path"]


def test_ctrl_c_ends_the_program_with_130(hopper: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3000):
        (photos / f"{number}.jpg").write_bytes(hopper.read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "clothseg", str(photos), "-o", str(tmp_path / "out"), "--format", "masks", "--quiet"],
        stderr=subprocess.PIPE,
        text=True,
    )
    manifest = tmp_path / "out" / "manifest.jsonl"
    deadline = time.monotonic() + 60
    while not (manifest.exists() and manifest.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert 0 < len(manifest.read_text().splitlines()) < 3000


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-c", "import sys, clothseg; print(len(clothseg.Segmenter()(sys.argv[1])))"],
        [sys.executable, "-m", "clothseg", "--info"],
        [str(SCRIPT), "--info"],
    ],
    ids=["package", "module", "script"],
)
def test_no_telemetry_is_left_behind(command: list[str], astronaut: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*command, str(astronaut)], check=True, capture_output=True, env=environment, timeout=120)
    assert files_below(tmp_path) == []


def test_telemetry_is_off_before_the_library_is_loaded_and_onnxruntime_is_not_imported(astronaut: Path) -> None:
    program = (
        "import os, sys; os.environ.pop('ORT_DISABLE_TELEMETRY', None); import clothseg; "
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'; "
        "assert not [m for m in sys.modules if m.startswith(('onnxruntime', 'PIL'))], 'imports are cheap'; "
        "segment = clothseg.Segmenter(); segment(sys.argv[1]); assert 'onnxruntime' not in sys.modules; "
        "assert 'onnxruntime' in segment.engine['path']"
    )
    done = subprocess.run([sys.executable, "-c", program, astronaut], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_onnxruntime_the_error_says_what_to_install() -> None:
    program = (
        "import sys, clothseg, clothseg._library as l; l.find = lambda: None\n"
        "try: clothseg.Segmenter()\n"
        "except clothseg.EngineError as error: print(error)\n"
        "else: print('a system library')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "clothseg[cpu]" in done.stdout or "a system library" in done.stdout


def test_the_onnxruntime_package_may_be_used_beside_it(astronaut: Path) -> None:
    pytest.importorskip("onnxruntime")
    for first, second in (("clothseg", "onnxruntime"), ("onnxruntime", "clothseg")):
        program = (
            f"import {first}, {second}, sys; segment = clothseg.Segmenter(); "
            "print(onnxruntime.get_available_providers(), len(segment(sys.argv[1])))"
        )
        done = subprocess.run([sys.executable, "-c", program, astronaut], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
