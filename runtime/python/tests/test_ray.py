"""Ray Data on a cluster of this machine: nothing twice, nothing lost, whatever is killed. Skipped where Ray is not installed."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ray = pytest.importorskip("ray")
import pyarrow.parquet as pq  # noqa: E402

COUNT = 160

#: Twice the time for each photo, so that there is something left to do when something is killed.
SLOW = ("--quality", "best")


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    ours = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        # Sockets have short names.
        "RAY_TMPDIR": str(Path("/tmp") / f"ray-{os.getpid()}"),
    }
    Path(ours["RAY_TMPDIR"]).mkdir(exist_ok=True)
    before = {name: os.environ.get(name) for name in (*ours, "RAY_ADDRESS", "ORT_DISABLE_TELEMETRY")}
    os.environ.update(ours)
    # The package itself turns the telemetry off in each process.
    for name in ("RAY_ADDRESS", "ORT_DISABLE_TELEMETRY"):
        os.environ.pop(name, None)
    yield
    shutil.rmtree(ours["RAY_TMPDIR"], ignore_errors=True)
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture
def photos(hopper: Path, tmp_path: Path) -> Path:
    root = tmp_path / "in"
    root.mkdir()
    content = hopper.read_bytes()
    for number in range(COUNT):
        (root / f"{number:03}.jpg").write_bytes(content)
    return root


def command(photos: Path, output: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "clothseg.ray", str(photos), str(output), "--batch", "4", *more]


def start(words: list[str], **environment: str) -> subprocess.Popen[str]:
    # A session of its own, so that what it starts can be ended with it.
    return subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **environment}
    )


def end(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(timeout=30)


def rows(output: Path) -> list[dict[str, object]]:
    found = []
    for part in (output / "table").glob("*.parquet"):
        try:
            found.extend(pq.read_table(part).to_pylist())
        except Exception:  # noqa: BLE001 - it is being written
            pass
    return found


def wait_for_rows(output: Path, count: int, process: subprocess.Popen[str]) -> list[dict[str, object]]:
    deadline = time.monotonic() + 180
    while len(found := rows(output)) < count:
        assert process.poll() is None, f"it has ended: {process.stderr and process.stderr.read()}"
        assert time.monotonic() < deadline, f"{len(found)} rows"
        time.sleep(0.02)
    return found


def is_whole(output: Path, photos: Path) -> None:
    times = collections.Counter(str(row["path"]) for row in rows(output) if row["error"] is None)
    assert times == {str(path): 1 for path in photos.iterdir()}, "each path once"
    assert len(list(output.glob("*.json"))) == COUNT and not list(output.glob("*.part"))


def test_a_run_is_complete_and_a_second_does_only_what_failed(photos: Path, tmp_path: Path) -> None:
    damaged = photos / "damaged.jpg"
    damaged.write_bytes(b"no photo")
    output = tmp_path / "out"
    first = subprocess.run(command(photos, output), capture_output=True, text=True, timeout=300)
    assert first.returncode == 1, first.stderr
    assert f"{COUNT} of {COUNT + 1} photos done, 0 of them before, 1 failed" in first.stderr
    assert f"error: {damaged}: DecodeError" in first.stderr
    damaged.write_bytes((photos / "000.jpg").read_bytes())
    second = subprocess.run(command(photos, output), capture_output=True, text=True, timeout=300)
    assert second.returncode == 0, second.stderr
    assert f"{COUNT + 1} of {COUNT + 1} photos done, {COUNT} of them before, 0 failed" in second.stderr
    # With nothing to do Ray is not even started.
    began = time.monotonic()
    third = subprocess.run(command(photos, output), capture_output=True, text=True, timeout=60)
    assert third.returncode == 0 and time.monotonic() - began < 10
    assert len(rows(output)) == COUNT + 2


def test_a_killed_driver_goes_on(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = start(command(photos, output, *SLOW))
    try:
        wait_for_rows(output, 8, process)
    finally:
        end(process)
    before = len(rows(output))
    assert before < COUNT, "it was killed halfway"
    again = start(command(photos, output, *SLOW))
    try:
        _, said = again.communicate(timeout=300)
        assert again.returncode == 0, said
    finally:
        end(again)
    is_whole(output, photos)


def test_a_killed_worker_is_replaced(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    process = start(command(photos, output, *SLOW))
    try:
        found = wait_for_rows(output, 4, process)
        worker = int(str(found[0]["worker"]).rpartition(":")[2])
        os.kill(worker, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    finally:
        end(process)
    assert len({row["worker"] for row in rows(output)}) > 1
    is_whole(output, photos)


def test_the_loss_of_a_node_loses_no_photo(photos: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    output = tmp_path / "out"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    process = None
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        process = start(command(photos, output, "--workers", "2", *SLOW), RAY_ADDRESS=cluster.address)
        wait_for_rows(output, 8, process)
        assert len(rows(output)) < COUNT
        cluster.remove_node(nodes[0], allow_graceful=False)
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    finally:
        if process is not None:
            end(process)
        cluster.shutdown()
    is_whole(output, photos)


def test_nodes_with_other_folders_do_photos_of_relative_paths(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    for photo in sorted(photos.iterdir())[8:]:
        photo.unlink()
    elsewhere, home = tmp_path / "node", tmp_path / "home"
    elsewhere.mkdir()
    home.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        words = command(Path("in"), Path("./out"), "--workers", "1")
        one = {"cwd": tmp_path, "env": {**os.environ, "RAY_ADDRESS": cluster.address}, "capture_output": True, "text": True}
        done = subprocess.run(words, timeout=300, **one)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr
        again = subprocess.run(command(Path("./in"), tmp_path / "out"), timeout=300, **one)  # type: ignore[call-overload]
        assert again.returncode == 0 and "8 of 8 photos done, 8 of them before" in again.stderr
        more = subprocess.run(command(Path("in"), Path("more"), "--workers", "7"), timeout=300, **one)  # type: ignore[call-overload]
        assert more.returncode == 2 and "error: 7 workers, and the cluster has processors for 1" in more.stderr
    finally:
        cluster.shutdown()
    assert {row["path"] for row in rows(tmp_path / "out")} == {str(path) for path in photos.iterdir()}
    assert len(list((tmp_path / "out").glob("*.json"))) == 8 and not list(elsewhere.iterdir())
    # What ONNX Runtime's telemetry leaves, which no worker may have on.
    assert not list(home.rglob("*onnxruntime*"))


def test_one_processor_is_enough(photos: Path, tmp_path: Path) -> None:
    from ray.cluster_utils import Cluster

    for photo in sorted(photos.iterdir())[8:]:
        photo.unlink()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    process = None
    try:
        process = start(command(photos, tmp_path / "out"), RAY_ADDRESS=cluster.address)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    finally:
        if process is not None:
            end(process)
        cluster.shutdown()
    assert len(rows(tmp_path / "out")) == 8
