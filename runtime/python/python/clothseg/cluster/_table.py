"""The table of what is done: Parquet parts that are only added to."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clothseg.cluster import _storage

if TYPE_CHECKING:
    import pyarrow


def schema() -> pyarrow.Schema:
    """The columns of the table, which are those of `Row`. Without it a part in which no photo failed would have none for `error`."""
    import pyarrow as pa

    one = pa.struct(
        [
            ("index", pa.int32()),
            ("name", pa.string()),
            ("score", pa.float64()),
            ("area_px", pa.int64()),
            ("box", pa.list_(pa.int32())),
        ]
    )
    return pa.schema(
        [
            ("path", pa.string()),
            ("key", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("classes", pa.list_(one)),
            ("files", pa.list_(pa.string())),
            ("error", pa.string()),
            ("worker", pa.string()),
            ("seconds", pa.float64()),
            ("finished_unix_ms", pa.int64()),
        ]
    )


@dataclass
class Done:
    """What earlier runs with the same key came to."""

    paths: set[str] = field(default_factory=set)
    """Photos that are done."""
    failed: dict[str, str] = field(default_factory=dict)
    """Photos that failed, and why: they are tried again."""
    rows: int = 0
    """Rows of the table, of any key."""
    removed: list[str] = field(default_factory=list)
    """Parts that could not be read, such as one that a kill cut off: they are gone, and their photos are done again."""


def read_done(table: str, key: str) -> Done:
    """Reads all parts of a table. The last row of a path counts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    done = Done()
    last: dict[str, tuple[int, str | None]] = {}
    for part in _storage.parquet_files(table):
        try:
            columns = ["path", "key", "error", "finished_unix_ms"]
            rows = pq.read_table(io.BytesIO(_storage.read(part)), columns=columns)
        except (pa.ArrowException, OSError, KeyError):
            _storage.remove(part)
            done.removed.append(part)
            continue
        done.rows += rows.num_rows
        for row in rows.to_pylist():
            path, time = row["path"], row["finished_unix_ms"]
            if row["key"] == key and time >= last.get(path, (-1, None))[0]:
                last[path] = (time, row["error"])
    for path, (_, error) in last.items():
        if error is None:
            done.paths.add(path)
        else:
            done.failed[path] = error
    return done
