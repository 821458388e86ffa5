"""The worker that clusters call, and the table of what is done. Ray itself is in test_ray.py."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clothseg
from clothseg.cluster import Row, Worker, job_key, list_photos, read_done, schema


@pytest.fixture
def photos(astronaut: Path, hopper: Path, tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "deep").mkdir(parents=True)
    (root / "a.png").write_bytes(astronaut.read_bytes())
    (root / "a.jpg").write_bytes(hopper.read_bytes())
    (root / "deep" / "b.JPG").write_bytes(hopper.read_bytes())
    (root / "deep" / "damaged.jpg").write_bytes(b"no photo")
    (root / "notes.txt").write_text("no photo by its name")
    return root


def test_photos_are_found_by_their_names_in_order(photos: Path) -> None:
    found = [str(Path(path).relative_to(photos)) for path in list_photos(photos)]
    assert found == ["a.jpg", "a.png", "deep/b.JPG", "deep/damaged.jpg"]
    with pytest.raises(NotADirectoryError):
        list_photos(photos / "absent")


def test_a_worker_mirrors_the_tree_and_gives_a_row(photos: Path, tmp_path: Path, segment: clothseg.Segmenter) -> None:
    worker = Worker(tmp_path / "out", root=photos, formats=["labels", "json"])
    rows = [worker.one(path) for path in list_photos(photos)]
    errors = [row["error"] for row in rows]
    assert errors[:3] == [None] * 3 and errors[3] is not None and errors[3].startswith("DecodeError: ")
    assert rows[1]["files"] == ["a.png.labels.png", "a.png.json"]
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == sorted(name for row in rows for name in row["files"])
    expected = segment(photos / "a.png")
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "out/a.png.labels.png")), expected.labels)
    assert [(one["name"], one["area_px"], tuple(one["box"])) for one in rows[1]["classes"]] == [
        (region.label, region.area, region.bbox) for region in expected
    ]
    assert json.loads((tmp_path / "out/deep/b.JPG.json").read_text())["width"] == rows[2]["width"] > 0


def test_nothing_is_written_outside_of_the_output(photos: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "out", root=photos / "deep")
    for path in (photos / "a.jpg", photos / "deep" / ".." / "a.jpg"):
        error = worker.one(str(path))["error"]
        assert error is not None and "not below" in error
    assert not (tmp_path / "out").exists()


def test_addresses_go_through_fsspec(photos: Path, segment: clothseg.Segmenter) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for path in list_photos(photos):
        store.pipe_file("/bucket/in/" + str(Path(path).relative_to(photos)), Path(path).read_bytes())
    paths = list_photos("memory://bucket/in")
    assert len(paths) == 4 and all(path.startswith("memory://") for path in paths)
    worker = Worker("memory://bucket/out", root="memory://bucket/in", formats=["labels"])
    rows = [worker.one(path) for path in paths]
    assert [row["error"] is None for row in rows] == [True, True, True, False]
    with store.open("/bucket/out/a.png.labels.png") as file:
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(file)), segment(photos / "a.png").labels)
    store.rm("/bucket", recursive=True)


def test_a_model_that_is_not_there_is_raised(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Worker(tmp_path / "out", root=photos, model=tmp_path / "absent.onnx")


def test_the_key_follows_what_results_depend_on(tmp_path: Path) -> None:
    model = tmp_path / "a.onnx"
    model.write_bytes(b"one")
    key = job_key(model=model)
    assert len(key) == 16 and key == job_key(model=model, threads=4, library="x", device=1)
    others = {job_key(), job_key(model=model, formats=["svg"]), job_key(model=model, classes=["pants"]), job_key(model=model, quality="best")}
    model.write_bytes(b"two")
    assert len(others | {key, job_key(model=model)}) == 6


def row(path: str, key: str, time: int, error: str | None = None) -> Row:
    return Row(
        path=path, key=key, width=1, height=1, classes=[], files=[], error=error, worker="w", seconds=0.1, finished_unix_ms=time
    )


def test_the_last_row_of_a_path_counts_and_a_torn_part_goes(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    parts = [
        [row("a", "k", 1, "broken"), row("b", "k", 1), row("c", "other", 1), row("d", "k", 9)],
        [row("a", "k", 2), row("d", "k", 3, "older"), row("e", "k", 1, "broken")],
    ]
    for number, rows in enumerate(parts):
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), tmp_path / f"{number}.parquet")
    whole = (tmp_path / "0.parquet").read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.parquet").write_bytes(b"")
    done = read_done(str(tmp_path), "k")
    assert done.paths == {"a", "b", "d"} and done.failed == {"e": "broken"} and done.rows == 7
    assert sorted(Path(path).name for path in done.removed) == ["empty.parquet", "torn.parquet"]
    assert len(list(tmp_path.iterdir())) == 2
    assert read_done(str(tmp_path / "absent"), "k").paths == set()
