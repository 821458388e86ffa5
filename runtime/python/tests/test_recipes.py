"""The recipes of docs/cluster.md, each run once in a process of its own. Skipped where their engine is not installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clothseg.cluster import Worker, read_done

DOCUMENT = Path(__file__).parents[3] / "docs" / "cluster.md"
MODULES = {"daft": "daft", "dask": "dask", "spark": "pyspark"}


@pytest.mark.parametrize("engine", MODULES)
def test_a_recipe_does_every_photo_once(engine: str, hopper: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(MODULES[engine]) is None or (engine == "spark" and shutil.which("java") is None):
        pytest.skip(f"{engine} is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    found = re.search(rf"^```python {engine}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, "there is a recipe"
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "deep/a.jpg"):
        shutil.copy(hopper, photos / name)
    (photos / "damaged.jpg").write_bytes(b"no photo")
    program = tmp_path / "recipe.py"
    program.write_text(found.group(1))
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"DAFT_ANALYTICS_ENABLED": "0", "PYSPARK_PYTHON": sys.executable, "HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [row for part in (tmp_path / "out" / "table").glob("*.parquet") for row in pq.read_table(part).to_pylist()]
    assert sorted(row["path"] for row in rows) == sorted(
        str(photos / name) for name in ("a.jpg", "b.jpg", "damaged.jpg", "deep/a.jpg")
    )
    assert [row["path"] for row in rows if row["error"]] == [str(photos / "damaged.jpg")]
    assert (tmp_path / "out" / "deep" / "a.jpg.json").is_file()
    # What ONNX Runtime's telemetry leaves, which no worker may have on.
    assert not list((tmp_path / "home").rglob("*onnxruntime*"))
    done = read_done(str(tmp_path / "out" / "table"), Worker(tmp_path / "out", root=photos).key)
    assert done.paths == {str(photos / name) for name in ("a.jpg", "b.jpg", "deep/a.jpg")} and not done.left_alone
