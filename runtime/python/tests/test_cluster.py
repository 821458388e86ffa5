"""The worker that clusters call, and the table of what is done. Ray itself is in test_ray.py."""

from __future__ import annotations

import errno
import json
import ntpath
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import clothseg
from clothseg.cluster import Row, Worker, _storage, job_key, list_photos, read_done, schema


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


@pytest.mark.parametrize(("root", "path"), [("photos//", "photos/sub/b.jpg"), ("photos", "photos//sub/b.jpg"), (".", "./sub//./b.jpg")])
def test_slashes_more_or_less_lead_to_the_same_place(
    root: str, path: str, hopper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("photos/sub", "sub"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "b.jpg").write_bytes(hopper.read_bytes())
    monkeypatch.chdir(tmp_path)
    row = Worker("out", root=root, formats=["json"]).one(path)
    assert row["error"] is None and row["files"] == ["sub/b.jpg.json"] and (tmp_path / "out/sub/b.jpg.json").is_file()


def test_places_never_lead_elsewhere() -> None:
    below = _storage.place_below
    assert below("s3://bucket/in//sub/b.jpg", "s3://bucket/in//") == "sub/b.jpg"
    assert below("memory://a.jpg", "memory://") == "a.jpg" and below("/a.jpg", "/") == "a.jpg"
    assert below(r"photos\deep\a.jpg", "photos", paths=ntpath) == "deep/a.jpg"
    assert below(r"C:\Photos\a.jpg", "c:/photos/", paths=ntpath) == "a.jpg"
    assert below("file:///C:/photos/a.jpg", r"C:\photos", paths=ntpath) == "a.jpg"
    for path, root, paths in (
        ("s3://bucket/in/../x.jpg", "s3://bucket/in", os.path),
        ("s3://bucket/inside/x.jpg", "s3://bucket/in", os.path),
        ("s3://bucket/in", "s3://bucket/in", os.path),
        ("s3://bucket/in//", "s3://bucket/in", os.path),
        ("/in/x.jpg", "s3://bucket/in", os.path),
        ("/in/../x.jpg", "/in", os.path),
        (r"C:\other\a.jpg", r"C:\photos", ntpath),
        (r"D:\photos\a.jpg", r"C:\photos", ntpath),
    ):
        with pytest.raises(ValueError, match="not below"):
            below(path, root, paths=paths)
    for name in (r"..\..\x.jpg", "C:x.jpg"):
        with pytest.raises(ValueError, match="path on this system"):
            below(f"s3://bucket/in/{name}", "s3://bucket/in", paths=ntpath)


def test_no_error_of_a_photo_is_raised(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class ClientError(Exception):
        """botocore's is nothing else, either."""

    worker = Worker(tmp_path / "out", root=photos, formats=["json"])
    for step in ("read", "write"):
        for error in (RuntimeError("the pool is closed"), ClientError("AccessDenied"), KeyError("ETag")):

            def broken(*_: Any, error: Exception = error) -> bytes:
                raise error

            with monkeypatch.context() as patch:
                patch.setattr(_storage, step, broken)
                row = worker.one(str(photos / "a.jpg"))
            assert row["error"] == f"{type(error).__name__}: {error}" and row["files"] == [] and row["finished_unix_ms"] > 0
    assert worker.one(str(photos / "a.jpg"))["error"] is None


@pytest.mark.parametrize("arguments", [{"classes": ["trousrs"]}, {"formats": ["foo"]}])
def test_what_would_fail_for_every_photo_is_raised(arguments: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    worker = Worker(tmp_path / "out", root=photos, **arguments)
    for action in (worker.check, lambda: worker.one(str(photos / "a.jpg"))):
        with pytest.raises((clothseg.UnknownClassError, ValueError)):
            action()
    with pytest.raises(TypeError, match="a list of names"):
        Worker(tmp_path / "out", root=photos, **{name: "masks" for name in arguments})


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
    others = {job_key(), job_key(model=model, quality="best")}
    others |= {job_key(model=model, formats=["svg"]), job_key(model=model, classes=["pants"])}
    model.write_bytes(b"two")
    assert len(others | {key, job_key(model=model)}) == 6


def test_the_key_follows_the_content_of_a_description_and_not_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spec.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    key = job_key(spec="spec.json")
    assert key == job_key(spec=tmp_path / "spec.json") != job_key(spec="u2net-cloth")
    (tmp_path / "spec.json").write_text("{ }")
    assert job_key(spec="spec.json") != key


def row(path: str, key: str, time: int, error: str | None = None) -> Row:
    return Row(
        path=path, key=key, width=1, height=1, classes=[], files=[], error=error, worker="w", seconds=0.1, finished_unix_ms=time
    )


def test_the_last_row_of_a_path_counts_and_a_torn_part_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.chdir("/")
    done = read_done(str(tmp_path), "k")
    assert done.paths == {"/a", "/b", "/d"} and done.failed == {"/e": "broken"} and done.rows == 7
    assert sorted(Path(path).name for path in done.removed) == ["empty.parquet", "torn.parquet"]
    assert len(list(tmp_path.iterdir())) == 2
    assert read_done(str(tmp_path / "absent"), "k").paths == set()


@pytest.mark.parametrize("error", [TimeoutError(errno.ETIMEDOUT, "timed out"), OSError(errno.EIO, "I/O error"), RuntimeError("503")])
def test_a_part_that_cannot_be_fetched_stays_and_is_named(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist([row("/a", "k", 1)], schema=schema()), tmp_path / "0.parquet")

    def broken(_: str) -> bytes:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(_storage, "read", broken)
        with pytest.raises(clothseg.ReadError, match=f"{type(error).__name__}: .*0.parquet"):
            read_done(str(tmp_path), "k")
    assert read_done(str(tmp_path), "k").paths == {"/a"}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system does not list a process's threads")
def test_reading_a_table_starts_no_threads(tmp_path: Path) -> None:
    # A process that ends while those of Arrow are starting or ending is aborted.
    pq = pytest.importorskip("pyarrow.parquet")
    pa = pytest.importorskip("pyarrow")
    row = {"path": "/a", "output": "a", "key": "k", "finished_unix_ms": 1}
    pq.write_table(pa.Table.from_pylist([row], schema=schema()), tmp_path / "part.parquet")
    program = """
import os, sys
import pyarrow.parquet
from clothseg.cluster import read_done
before = set(os.listdir("/proc/self/task"))
assert read_done(sys.argv[1], "k").paths == {"/a"}
print(len(set(os.listdir("/proc/self/task")) - before))
"""
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "0"), ran.stderr


def test_what_is_no_part_of_the_table_is_left_alone(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    ours = pa.Table.from_pylist([row("/a", "k", 1)] * 100, schema=schema())
    pq.write_table(ours, tmp_path / "0.parquet")
    # Other engines write texts in another form, and a column of nothing.
    other = ours.slice(0, 1).drop(["error"]).append_column("error", pa.nulls(1))
    wide = other.schema.set(0, pa.field("path", pa.large_string()))
    pq.write_table(other.cast(wide), tmp_path / "1.parquet")
    pq.write_table(pa.table({"price": [1, 2]}), tmp_path / "foreign.parquet")
    nameless = {"path": [None], "key": ["k"], "error": [None], "finished_unix_ms": [1]}
    pq.write_table(pa.table(nameless, schema=pa.schema([schema().field(name) for name in nameless])), tmp_path / "nameless.parquet")
    whole = (tmp_path / "0.parquet").read_bytes()
    (tmp_path / "damaged.parquet").write_bytes(whole[:4] + b"\xff" * (len(whole) - 8) + whole[-4:])
    (tmp_path / "encrypted.parquet").write_bytes(b"PARE" + whole[4:-4] + b"PARE")
    (tmp_path / "folder.parquet").mkdir()
    before = sorted(tmp_path.iterdir())
    done = read_done(str(tmp_path), "k")
    assert done.paths == {"/a"} and done.rows == 101 and done.removed == []
    names = {os.path.basename(part): why for part, why in done.left_alone.items()}
    assert sorted(names) == ["damaged.parquet", "encrypted.parquet", "foreign.parquet", "nameless.parquet"]
    assert "no column" in names["foreign.parquet"] and "cannot be read" in names["damaged.parquet"]
    assert sorted(tmp_path.iterdir()) == before


def test_a_store_that_cannot_be_listed_has_no_table_that_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = type(fsspec.filesystem("memory"))

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no route to host")

    forgotten: list[bool] = []
    monkeypatch.setattr(store, "invalidate_cache", lambda *_: forgotten.append(True))
    assert read_done("memory://absent/table", "k").rows == 0 and forgotten, "what a store keeps of a listing is old after a run"
    monkeypatch.setattr(store, "find", broken)
    with pytest.raises(clothseg.ReadError, match="no route to host"):
        read_done("memory://bucket/table", "k")
