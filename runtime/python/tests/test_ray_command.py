"""`python -m clothseg.ray` around Ray: paths, what is refused, what is said, and its status. Ray itself is in test_ray.py."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import clothseg
from clothseg import ray as command
from clothseg.cluster import Worker, schema

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402


@pytest.fixture
def here(hopper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two photos."""
    for name in ("a.jpg", "deep/b.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(hopper.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sent(here: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Instead of a cluster a machine with another working folder. The paths that it was sent."""
    elsewhere = here / "node"
    elsewhere.mkdir()
    asked: list[list[str]] = []

    def segment(todo: list[str], table: str, workers: int | None, batch: int, arguments: dict[str, Any]) -> None:
        asked.append(todo)
        before = os.getcwd()
        os.chdir(elsewhere)
        try:
            worker = Worker(**arguments)
            rows = pa.Table.from_pylist([worker.one(path) for path in todo], schema=schema())
            Path(table).mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, f"{table}/{len(asked)}.parquet")
        finally:
            os.chdir(before)

    monkeypatch.setattr(command, "_segment", segment)
    return asked


@pytest.fixture
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be asked of a cluster."""

    def segment(*_: Any) -> None:
        pytest.fail("the cluster was asked")

    monkeypatch.setattr(command, "_segment", segment)


def main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """Runs the command. Its status and what it said."""
    monkeypatch.setattr(sys, "argv", ["clothseg.ray", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, capsys.readouterr().err


def test_relative_paths_are_right_on_machines_with_other_folders(here: Path, sent: list[list[str]]) -> None:
    summary = command.run("photos", "out", formats=["json"])
    assert (summary.done, summary.before, summary.failed) == (2, 0, {})
    assert sent == [[str(here / "photos" / name) for name in ("a.jpg", "deep/b.jpg")]]
    assert (here / "out" / "deep" / "b.jpg.json").is_file() and not list((here / "node").iterdir())
    # However they are written, they are the same.
    for photos, output in (("./photos", "out/"), (here / "photos", here / "out"), (f"file://{here}/photos//", "./deep/../out")):
        summary = command.run(photos, output, formats=["json"])
        assert (summary.done, summary.before) == (2, 2)
    some = command.run(["photos/a.jpg", "./photos/a.jpg"], "out", root="photos/", formats=["json"])
    assert (some.photos, some.before) == (1, 1) and len(sent) == 1


def test_rows_with_relative_paths_still_count(here: Path, sent: list[list[str]]) -> None:
    command.run("photos", "out", formats=["json"])
    (part,) = (here / "out" / "table").iterdir()
    rows = pq.read_table(part).to_pylist()
    for row in rows:
        row["path"] = os.path.relpath(row["path"], here)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema()), part)
    assert command.run(here / "photos", "out", formats=["json"]).before == 2 and len(sent) == 1


def test_a_relative_model_is_found_by_workers(here: Path, sent: list[list[str]]) -> None:
    models = Path(__file__).parents[3] / "models"
    if not (models / "garments-int8.onnx").is_file():
        pytest.skip("there are no models beside the tests")
    (here / "own.onnx").write_bytes((models / "garments-int8.onnx").read_bytes())
    summary = command.run("photos", "out", formats=["json"], model="own.onnx")
    assert summary.done == 2 and not summary.failed
    assert command.run("photos", "out", formats=["json"], model=here / "own.onnx").before == 2
    assert command.run("photos", "out", formats=["json"]).before == 0, "the built-in one is another to the table"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos", "out", "--classes", "trousrs"), "unknown class 'trousrs' (did you mean 'trousers'?)"),
        (("photos", "out", "--formats", "masks,foo"), "unknown format 'foo'"),
        (("photos", "out", "--formats", "coco"), "one file for many photos"),
        (("photos", "out", "--formats", ","), "--formats: it names nothing"),
        (("photos", "out", "--model", "absent.onnx"), "absent.onnx"),
        (("photos", "out", "--model", "photos/a.jpg"), "a.jpg: not an ONNX model"),
        (("photos", "out", "--quality", "nice"), "invalid choice"),
        (("photos", "out", "--workers", "0"), "1 or more"),
        (("photos", "out", "--batch", "0"), "1 or more"),
        (("absent", "out"), "is no folder"),
        (("photos/a.jpg", "out"), "is no folder"),
        (("empty", "out"), "no photos in empty, and 1 other files"),
        (("photos", "./photos/"), "a folder of their own"),
        (("nonsense://photos", "out"), "nonsense"),
    ],
)
def test_what_cannot_run_is_one_line_and_status_2(
    arguments: tuple[str, ...],
    said: str,
    here: Path,
    no_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "://" in arguments[0]:
        pytest.importorskip("fsspec")
    (here / "empty").mkdir()
    (here / "empty" / "notes.txt").write_text("text")
    status, text = main(monkeypatch, capsys, *arguments)
    assert status == 2 and said in text, text
    lines = [line for line in text.splitlines() if "error: " in line]
    assert len(lines) == 1 and text.splitlines()[-1] == lines[0] and "Traceback" not in text
    assert not (here / "out").exists()


def test_a_model_that_cannot_be_opened_is_raised_by_run(here: Path, no_cluster: None) -> None:
    with pytest.raises(clothseg.ReadError, match="absent.onnx"):
        command.run("photos", "out", model="absent.onnx")
    with pytest.raises(clothseg.ModelError, match="a.jpg"):
        command.run("photos", "out", model="photos/a.jpg")
    with pytest.raises(clothseg.UnknownClassError):
        command.run("photos", "out", classes=["trousrs"])
    # What the workers have for a GPU need not be where the run is started.
    with pytest.raises(pytest.fail.Exception, match="the cluster was asked"):
        command.run("photos", "out", provider="cuda", device=3)


def test_the_statuses_are_those_of_the_documents(
    here: Path, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = main(monkeypatch, capsys, "photos", "out", "--classes", " shirt , pants,")
    assert status == 0 and "2 of 2 photos done, 0 of them before, 0 failed; results in out" in text
    (here / "photos" / "damaged").write_bytes(b"\xff\xd8\xff\xe0")
    (here / "photos" / "notes.txt").write_text("text")
    status, text = main(monkeypatch, capsys, "photos", "out", "--classes", "pants,shirt")
    assert status == 1 and "2 of 3 photos done, 2 of them before, 1 failed, 1 skipped that are no photos" in text
    assert f"error: {here}/photos/damaged: DecodeError: " in text
    (here / "photos" / "damaged").unlink()
    (here / "photos" / "film.mov").write_bytes(b"a video by its name")
    status, text = main(monkeypatch, capsys, "photos", "out", "--classes", "pants,shirt")
    assert status == 1 and f"error: {here}/photos/film.mov: it is a video, which is not read" in text
    assert "2 of 2 photos done, 2 of them before, 0 failed, 1 left out that may hold pictures" in text


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, 2, "error: RuntimeError: 2 photos have no row, such as "),
        (LookupError("of Ray"), 2, "error: LookupError: of Ray"),
        (ConnectionError("no cluster"), 2, "error: no cluster"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on"),
    ],
)
def test_a_run_that_breaks_off_has_no_status_of_one_that_ended(
    error: BaseException | None,
    status: int,
    said: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def segment(*_: Any) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(command, "_segment", segment)
    got, text = main(monkeypatch, capsys, "photos", "out")
    assert got == status and text.splitlines()[-1].startswith(said)


def test_parts_of_the_table_that_do_not_count_are_named(
    here: Path, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = here / "out" / "table"
    table.mkdir(parents=True)
    pq.write_table(pa.table({"other": [1]}), table / "foreign.parquet")
    (table / "torn.parquet").write_bytes(b"PAR1, and then a kill")
    status, text = main(monkeypatch, capsys, "photos", "out")
    assert status == 0 and (table / "foreign.parquet").exists() and not (table / "torn.parquet").exists()
    assert f"warning: {table}/foreign.parquet is left alone and does not count: it has no column" in text
    assert f"warning: {table}/torn.parquet was cut off" in text


def test_too_many_workers_are_named_by_their_number(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = types.SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: {"CPU": 4.0})
    monkeypatch.setitem(sys.modules, "ray", cluster)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    with pytest.raises(ValueError, match="^7 workers, and the cluster has processors for 3: one of its 4 stays free$"):
        command.run("photos", "out", workers=7)
