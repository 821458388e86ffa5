"""The table of what is done: Parquet parts that are only added to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clothseg._errors import ReadError
from clothseg.cluster import _storage

if TYPE_CHECKING:
    import pyarrow

#: What Parquet begins and ends with; the second one where it is encrypted.
_MARKS = (b"PAR1", b"PARE")


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
    """What earlier runs with the same key came to. Local paths are absolute, whatever they were when they were written."""

    paths: set[str] = field(default_factory=set)
    """Photos that are done."""
    failed: dict[str, str] = field(default_factory=dict)
    """Photos that failed, and why: they are tried again."""
    rows: int = 0
    """Rows of the table, of any key."""
    removed: list[str] = field(default_factory=list)
    """Parts that a kill cut off, and other files that are no Parquet: they are gone, and their photos are done again."""
    left_alone: dict[str, str] = field(default_factory=dict)
    """Parquet files that are no parts of this table or are damaged, and why. They are neither read nor removed."""


def read_done(table: str, key: str) -> Done:
    """Reads all parts of a table. The last row of a path counts. Relative paths are those below the working folder.

    Raises:
        ReadError: for a table or part that cannot be read; the part may be whole, so it stays.
    """
    done = Done()
    last: dict[str, tuple[int, str | None]] = {}
    for part in _parts(table):
        rows = _rows(part, done)
        done.rows += len(rows)
        for row in rows:
            path, time = _storage.absolute(row["path"]), row["finished_unix_ms"]
            if row["key"] == key and time >= last.get(path, (-1, None))[0]:
                last[path] = (time, row["error"])
    for path, (_, error) in last.items():
        if error is None:
            done.paths.add(path)
        else:
            done.failed[path] = error
    return done


def _parts(table: str) -> list[str]:
    try:
        return _storage.parquet_files(table)
    except (ImportError, ValueError):
        # What is missing, or an address that makes no sense.
        raise
    except Exception as error:
        # Each store has errors of its own.
        raise _unreadable(table, error) from error


def _rows(part: str, done: Done) -> list[dict[str, Any]]:
    """The rows of a part, of the columns that count. What holds none is removed or left alone, which `done` says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = _storage.read(part)
    except Exception as error:
        raise _unreadable(part, error) from error
    # Without the mark at its end it was not written to its end.
    if not (content[:4] in _MARKS and content[-4:] in _MARKS and len(content) > 8):
        _storage.remove(part)
        done.removed.append(part)
        return []
    columns = ["path", "key", "error", "finished_unix_ms"]
    try:
        # Not by `read_table`: that starts threads of Arrow's own, which may abort a process that ends soon after it has read.
        file = pq.ParquetFile(pa.BufferReader(content))
        if lacks := set(columns) - set(file.schema_arrow.names):
            done.left_alone[part] = f"it has no column '{min(lacks)}'"
            return []
        rows = file.read(columns=columns, use_threads=False)
        # Other engines may write texts in another form, or none at all as a column of nothing.
        wanted = pa.schema([schema().field(name) for name in columns])
        found: list[dict[str, Any]] = rows.select(columns).cast(wanted).to_pylist()
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        done.left_alone[part] = f"it cannot be read: {error}"
        return []
    if any(row[name] is None for row in found for name in ("path", "key", "finished_unix_ms")):
        done.left_alone[part] = "it has rows without path, key or time"
        return []
    return found


def _unreadable(path: str, error: Exception) -> ReadError:
    return ReadError(getattr(error, "errno", None) or 0, f"the table cannot be read: {type(error).__name__}: {error}", path)
