"""Which photos there are: by the rules of clothseg-run, with nothing lost without a word."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from clothseg.cluster import find_photos, list_photos
from clothseg.cluster import _kinds as kinds


def tiff(*entries: tuple[int, int, int]) -> bytes:
    content = b"II*\0\x08\0\0\0" + len(entries).to_bytes(2, "little")
    for tag, kind, value in entries:
        content += b"".join(number.to_bytes(size, "little") for number, size in ((tag, 2), (kind, 2), (1, 4), (value, 4)))
    return content


def boxes(*brands: bytes) -> bytes:
    return (12 + 4 * len(brands)).to_bytes(4, "big") + b"ftyp" + brands[0] + b"\0\0\0\0" + b"".join(brands[1:]) + b"\0\0\0\x08mdat"


def pcx(encoding: int, *corners: int) -> bytes:
    head = bytes((0x0A, 5, encoding, 8)) + b"".join(corner.to_bytes(2, "little") for corner in corners)
    return (head.ljust(65, b"\0") + bytes((3, 96, 0))).ljust(128, b"\0")


#: Files by their names, and what they are: a photo, a word of what is not read, or nothing with pictures.
FILES: dict[str, tuple[bytes, str | None]] = {
    "text.jpg": (b"no photo, but its turn comes", kinds.PHOTO),
    **{
        f"{number}.{suffix}": (b"\xff\xd8\xff\xe0", kinds.PHOTO)
        for number, suffix in enumerate("JPG jfif jpe pjpeg pjp dib apng avif heic heif hif odd avifs txt mov".split())
    },
    "nameless": (b"\x89PNG\r\n\x1a\n", kinds.PHOTO),
    "webp.x": (b"RIFF\0\0\0\0WEBP", kinds.PHOTO),
    "gif.x": (b"GIF89a", kinds.PHOTO),
    "bmp.x": (b"BM\0\0\0\0\0\0\0\0\0\0\0\0\x28\0\0\0", kinds.PHOTO),
    "bitmap.txt": (b"BM is short for bitmap", None),
    "tiff.x": (tiff((256, 3, 7)), kinds.PHOTO),
    "far.x": (b"MM\0*\xff\xff\xff\xff", kinds.PHOTO),
    "dng.x": (tiff((50_706, 1, 1)), "a raw photo (DNG)"),
    "raw.x": (tiff((254, 4, 1), (271, 2, 0), (330, 4, 9)), "a camera's raw file"),
    "whole.x": (tiff((254, 4, 0), (271, 2, 0), (330, 4, 9)), kinds.PHOTO),
    "a.nef": (tiff((256, 3, 7)), "a camera's raw file"),
    "a.svgz": (tiff((256, 3, 7)), kinds.PHOTO),
    "cr2.x": (b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0\0\0", "a Canon raw photo (CR2)"),
    "cr3.x": (boxes(b"crx ", b"isom"), "a Canon raw photo (CR3)"),
    "avif.x": (boxes(b"avif", b"mif1"), kinds.PHOTO),
    "avis.x": (boxes(b"avis", b"msf1"), kinds.PHOTO),
    "heic.x": (boxes(b"mif1", b"mif1", b"heic"), kinds.PHOTO),
    "heif.x": (boxes(b"mif1"), kinds.PHOTO),
    "video.x": (boxes(b"isom", b"avc1"), "a video"),
    "sound.m4a": (boxes(b"M4A ", b"isom"), None),
    "quicktime": (b"\0\0\0\x08wide\0\0\0\0mdat", "a video"),
    "avi.x": (b"RIFF\0\0\0\0AVI LIST", "a video"),
    "wave.wav": (b"RIFF\0\0\0\0WAVEfmt ", None),
    "psd.x": (b"8BPS\0\x01", "a Photoshop file (PSD)"),
    "pdf.x": (b"%PDF-1.4", "a PDF document"),
    "a.cbz": (b"PK\x03\x04\x14\0", "an archive"),
    "a.docx": (b"PK\x03\x04\x14\0", None),
    "a.bz2": (b"BZh91AY&SY", "an archive"),
    "svg.x": (b"\xef\xbb\xbf <?xml version='1.0'?>\n<svg>", "a drawing (SVG)"),
    "a.xmp": (b"<?xml version='1.0'?><x:xmpmeta>", None),
    "pnm.x": (b"P6\n3 2\n255\n", "a Netpbm picture (PNM)"),
    "p1.txt": (b"P1 is a name", None),
    "pcx.x": (pcx(1, 0, 0, 95, 63), "a PCX picture"),
    "odd-pcx.x": (pcx(1, 9, 0, 8, 63), None),
    "odd.HEICS": (b"odd", "a HEIC photo (HEIF)"),
    "a.json": (b'{"a": 1}', None),
    "empty": (b"", None),
}

HIDDEN = ("._a.jpg", ".hidden.jpg", ".folder/a.jpg", "@eaDir/a.jpg", "__MACOSX/a.jpg", "a.jpg@SynoEAStream", "Thumbs.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for name, (content, _) in FILES.items():
        (root / "deep").mkdir(parents=True, exist_ok=True)
        (root / "deep" / name).write_bytes(content)
    for name in HIDDEN:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"\xff\xd8\xff\xe0")
    return root


def test_what_a_file_is_its_bytes_say(folder: Path) -> None:
    found = find_photos(folder)
    names = {name: kind for name, (_, kind) in FILES.items()}
    assert {Path(path).name for path in found.photos} == {name for name, kind in names.items() if kind == kinds.PHOTO}
    said = {Path(path).name: why for path, why in found.left_out.items()}
    assert said == {name: f"it is {kind}, which is not read" for name, kind in names.items() if kind not in (None, kinds.PHOTO)}
    assert found.others == list(names.values()).count(None)
    assert found.photos == sorted(found.photos) and all(os.path.isabs(path) for path in found.photos)


def test_the_program_finds_the_same(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clothseg", folder, "-o", tmp_path / "out", "--format", "json"], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    lines = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()
    found = find_photos(folder)
    tried = {json.loads(line)["input"]["path"] for line in lines}
    assert {os.path.relpath(path, folder) for path in found.photos} == tried
    # Its advice follows.
    said = re.findall(r"^.*?(/[^:\n]+): .*?(it is [^;\n]+, which is not read)", done.stderr, re.MULTILINE)
    assert dict(said) == found.left_out
    assert f"{found.others} files that are not photos" in done.stderr


def test_no_beginning_of_anything_breaks_anything() -> None:
    wide = b"MM\0+\0\x08\0\0" + (2**64 - 1).to_bytes(8, "big")
    for content, _ in [*FILES.values(), (wide, None), (b"II*\0\x08\0\0\0\xff\xff" + bytes(range(256)) * 20, None)]:
        for length in range(min(len(content), 300) + 1):
            kinds.kind_of("a.x", content[:length])


def test_links_pipes_and_odd_names_are_no_trap(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    before = find_photos(folder)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "linked.jpg").symlink_to(elsewhere / "a.jpg")
    (elsewhere / "back").symlink_to(folder)
    (folder / "nowhere.jpg").symlink_to(tmp_path / "absent.jpg")
    (folder / "nowhere").symlink_to(tmp_path / "absent")
    os.mkfifo(folder / "pipe")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(b"\xff\xd8\xff\xe0")
    found = find_photos(folder)
    assert set(found.photos) - set(before.photos) == {str(folder / "linked" / "a.jpg"), str(folder / "linked.jpg")}
    more = {path: why for path, why in found.left_out.items() if path not in before.left_out}
    assert sorted(more) == sorted([str(folder / "nowhere.jpg"), f"{folder}/\\udcff.jpg"])
    assert "leads nowhere" in more[str(folder / "nowhere.jpg")] and found.others == before.others + 1


def test_results_among_the_photos_are_none(folder: Path) -> None:
    before = find_photos(folder)
    results = folder / "out"
    results.mkdir()
    (results / "a.jpg.labels.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert find_photos(folder, output=results) == before
    assert len(find_photos(folder).photos) == len(before.photos) + 1


def test_list_photos_warns_of_what_it_leaves_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_photos(folder)
    with pytest.warns(UserWarning, match=f"{len(found.left_out)} files are left out, such as .*which is not read"):
        assert list_photos(folder) == found.photos
    monkeypatch.chdir(folder.parent)
    with pytest.warns(UserWarning):
        assert list_photos("in") == list_photos("./in/") == list_photos(f"file://{folder}") == found.photos
    with pytest.raises(NotADirectoryError):
        list_photos(folder / "absent")


def test_a_store_is_not_read_but_where_a_name_says_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            store.pipe_file(f"/bucket/in/{path.relative_to(folder)}", path.read_bytes())
    store.pipe_file("/bucket/in/deep//double.jpg", b"")
    store.pipe_file("/bucket/in/out/a.jpg.labels.png", b"")
    store.pipe_file("/bucket/inside/a.jpg", b"")
    looks, whole, lock = [], type(store).cat_file, threading.Lock()

    def cat_file(self: Any, name: str, start: int | None = None, end: int | None = None, **more: Any) -> bytes:
        with lock:
            looks.append((os.path.basename(name), start, end))
        content: bytes = whole(self, name, start=start, end=end, **more)
        return content

    monkeypatch.setattr(type(store), "cat_file", cat_file)
    try:
        found = find_photos("memory://bucket/in", output="memory://bucket/in/out/")
    finally:
        store.rm("/bucket", recursive=True)
    assert sorted(looks) == [(name, 0, kinds.HEAD_BYTES) for name in ("empty", "nameless", "quicktime")]
    names = [path.removeprefix("memory://bucket/in/deep/") for path in found.photos]
    assert "nameless" in names and "text.jpg" in names and "12.avifs" in names and "/double.jpg" in names
    assert not any(name.endswith((".x", ".odd", ".txt", ".labels.png")) or name[0] in ".@_" for name in names)
    left_out = {os.path.basename(path): why for path, why in found.left_out.items()}
    assert left_out == {
        "a.nef": "it is a camera's raw file, which is not read",
        "14.mov": "it is a video, which is not read",
        "quicktime": "it is a video, which is not read",
    }
    assert found.others == len(FILES) + 1 - len(found.photos) - len(left_out)


def test_a_file_of_a_store_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    from clothseg import ReadError

    store = fsspec.filesystem("memory")
    store.pipe_file("/bucket/in/a", b"\xff\xd8\xff\xe0")
    store.pipe_file("/bucket/in/_SUCCESS", b"")

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("SlowDown")

    try:
        monkeypatch.setattr(type(store), "cat_file", broken)
        found = find_photos("memory://bucket/in")
        assert found.left_out == {"memory://bucket/in/a": "it cannot be read: RuntimeError: SlowDown"} and found.others == 1
        monkeypatch.setattr(type(store), "find", broken)
        with pytest.raises(ReadError, match="RuntimeError: SlowDown"):
            list_photos("memory://bucket/in")
    finally:
        monkeypatch.undo()
        store.rm("/bucket", recursive=True)


def test_a_photo_without_a_suffix_is_done(tmp_path: Path) -> None:
    from clothseg.cluster import Worker

    PIL.Image.new("RGB", (64, 64), "red").save(tmp_path / "0123456789abcdef", "PNG")
    row = Worker(tmp_path / "out", root=tmp_path, formats=["json"]).one(list_photos(tmp_path)[0])
    assert row["error"] is None and row["files"] == ["0123456789abcdef.json"]
