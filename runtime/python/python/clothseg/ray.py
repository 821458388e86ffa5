"""Photos on a Ray cluster: `python -m clothseg.ray INPUT OUTPUT [--workers N]`. See docs/cluster.md.

A run that was stopped or killed goes on with the same command: photos that are done are left alone, those that failed are tried
again. The cluster is the one that RAY_ADDRESS names; without it one is started on this machine.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clothseg._errors import ClothsegError
from clothseg.cluster import Worker, job_key, list_photos, read_done, schema
from clothseg.cluster._storage import remove_leftovers

if TYPE_CHECKING:
    import pyarrow

#: Photos that a worker takes at a time, and rows of a part of the table: what a kill may cost.
BATCH = 32


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    photos: int
    before: int
    done: int
    failed: dict[str, str]


class _Actor:
    """A worker as Ray Data calls it: a table of paths in, a table of rows out."""

    def __init__(self, **arguments: Any) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        self.worker = Worker(**arguments)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow as pa

        rows = [self.worker.one(path) for path in batch["path"].to_pylist()]
        return pa.Table.from_pylist(rows, schema=schema())


def run(
    photos: str | os.PathLike[str] | Iterable[str],
    output: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    batch: int = BATCH,
    **options: Any,
) -> Summary:
    """Segments the photos of a folder, or these photos, which lie below `root`. `options` are those of `Worker`.

    Raises:
        NotADirectoryError: for the folder.
        ClothsegError: where the model cannot be opened, before the cluster is asked for anything.
    """
    if isinstance(photos, str | os.PathLike):
        root = os.fspath(photos)
        # Results may lie among the photos; they are none.
        results = os.path.abspath(output) + os.sep
        paths = [path for path in list_photos(root) if not os.path.abspath(path).startswith(results)]
    else:
        paths = list(dict.fromkeys(photos))
    if root is None:
        raise ValueError("root is needed with a list of photos: the folder that they lie in")
    output, key = os.fspath(output), job_key(**options)
    table = posixpath.join(output, "table")
    before = read_done(table, key)
    todo = [path for path in paths if path not in before.paths]
    if todo:
        _segment(todo, table, workers, batch, {"output": output, "root": os.fspath(root), **options})
        remove_leftovers(output)
    after = read_done(table, key)
    wanted = set(paths)
    failed = {path: error for path, error in after.failed.items() if path in wanted}
    lost = wanted - after.paths - failed.keys()
    if lost:
        raise RuntimeError(f"{len(lost)} photos have no row, such as {min(lost)}; run the same command again")
    return Summary(len(paths), len(paths) - len(todo), len(wanted & after.paths), failed)


def _segment(todo: list[str], table: str, workers: int | None, batch: int, arguments: dict[str, Any]) -> None:
    import pyarrow as pa
    import ray

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    # Where workers take all processors, reading and writing the tables has none left, and the run stands still without a word.
    free = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
    count = min(workers or free, -(-len(todo) // batch))
    if count > free:
        raise ValueError(f"{count} workers, and the cluster has {free} processors for them: one stays free")
    rows = ray.data.from_arrow(pa.table({"path": pa.array(todo, pa.string())}))
    rows = rows.repartition(target_num_rows_per_block=batch).map_batches(
        _Actor,
        fn_constructor_kwargs=arguments,
        batch_size=batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=count),
        num_cpus=1,
    )
    rows.write_parquet(table)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m clothseg.ray", description=__doc__.partition("\n")[0])
    parser.add_argument("input", help="folder of photos, or an address such as s3://bucket/photos (with fsspec)")
    parser.add_argument("output", help="folder or address of the results; the table is in its folder 'table'")
    parser.add_argument("--workers", type=int, metavar="N", help="workers; one a processor, less one, without it")
    parser.add_argument("--batch", type=int, metavar="N", default=BATCH, help=f"photos at a time ({BATCH})")
    parser.add_argument("--formats", metavar="NAMES", default="masks,json", help="files for each photo (masks,json)")
    parser.add_argument("--classes", metavar="NAMES", help="classes, aliases or groups; all garments without it")
    parser.add_argument("--model", metavar="FILE", help="ONNX model, which every worker can read; the built-in one without it")
    parser.add_argument("--quality", choices=("fast", "best"), default="fast")
    given = parser.parse_args()
    if given.batch < 1 or (given.workers is not None and given.workers < 1):
        parser.error("--workers and --batch: 1 or more is needed")
    try:
        summary = run(
            given.input,
            given.output,
            workers=given.workers,
            batch=given.batch,
            formats=given.formats.split(","),
            classes=given.classes.split(",") if given.classes else None,
            model=given.model,
            quality=given.quality,
        )
    except (ClothsegError, OSError, ValueError, ImportError) as error:
        sys.exit(f"error: {error}")
    for path, reason in sorted(summary.failed.items()):
        print(f"error: {path}: {reason}", file=sys.stderr)
    print(
        f"{summary.done} of {summary.photos} photos done, {summary.before} of them before, {len(summary.failed)} failed; "
        f"results in {given.output}",
        file=sys.stderr,
    )
    sys.exit(1 if summary.failed else 0)


if __name__ == "__main__":
    main()
