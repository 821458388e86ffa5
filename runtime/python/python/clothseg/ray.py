"""Photos on a Ray cluster: `python -m clothseg.ray INPUT OUTPUT [--workers N]`. See docs/cluster.md.

A run that was stopped or killed goes on with the same command: photos that are done are skipped, those that failed are tried
again. The cluster is the one that RAY_ADDRESS names; without it one is started on this machine.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from clothseg._errors import ClothsegError
from clothseg.cluster import Listing, Worker, find_photos, read_done, schema
from clothseg.cluster._storage import absolute, remove_leftovers

if TYPE_CHECKING:
    import pyarrow

#: Photos that a worker takes at a time, and rows of a part of the table: what a kill may cost.
BATCH = 32

#: Exit statuses, which are those of clothseg-run.
SOME_FAILED, NOTHING_RAN, STOPPED = 1, 2, 130


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    photos: int
    before: int
    done: int
    failed: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)
    """Files that may hold pictures and are not read, and why."""
    others: int = 0
    """Files that are no photos."""
    removed_parts: list[str] = field(default_factory=list)
    """Parts of the table that a kill cut off: their photos were done again."""
    foreign_parts: dict[str, str] = field(default_factory=dict)
    """Files in the table's folder that are no parts of it, and why. They are still there."""


class _Actor:
    """A worker as Ray Data calls it: a table of paths in, a table of rows out."""

    def __init__(self, **arguments: Any) -> None:
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

    What is wrong with arguments, folders and the model is raised before the cluster is asked for anything. Local paths become absolute, so
    that they mean the same on every machine.

    Raises:
        NotADirectoryError, FileNotFoundError: for a folder that there is not, or without photos.
        ClothsegError: where the model cannot be opened, or the input or the table cannot be read.
        ValueError, TypeError: for options, more workers than there are processors, and where results would lie on the photos.
        RuntimeError: where the cluster lost photos.
    """
    if isinstance(photos, str | os.PathLike):
        root = photos
    elif root is None:
        raise ValueError("root is needed with a list of photos: the folder that they lie in")
    if batch < 1 or (workers is not None and workers < 1):
        raise ValueError("workers and batch: 1 or more is needed")
    worker = Worker(output, root=root, **options)
    if worker.output.rstrip("/") == worker.root.rstrip("/"):
        raise ValueError(f"{worker.root} holds the photos; results need a folder of their own")
    worker.check()
    found = _listed(photos, worker)
    table = posixpath.join(worker.output, "table")
    before = read_done(table, worker.key)
    todo = [path for path in found.photos if path not in before.paths]
    if todo:
        _segment(todo, table, workers, batch, worker.arguments())
        remove_leftovers(worker.output)
    after = read_done(table, worker.key)
    wanted = set(found.photos)
    failed = {path: error for path, error in after.failed.items() if path in wanted}
    lost = wanted - after.paths - failed.keys()
    if lost:
        raise RuntimeError(f"{len(lost)} photos have no row, such as {min(lost)}; run the same command again")
    return Summary(
        photos=len(wanted),
        before=len(wanted) - len(todo),
        done=len(wanted & after.paths),
        failed=failed,
        left_out=found.left_out,
        others=found.others,
        removed_parts=before.removed + after.removed,
        foreign_parts=before.left_alone | after.left_alone,
    )


def _listed(photos: str | os.PathLike[str] | Iterable[str], worker: Worker) -> Listing:
    """The photos to do. Results may lie among them; they are none."""
    if not isinstance(photos, str | os.PathLike):
        return Listing(photos=list(dict.fromkeys(map(absolute, photos))))
    found = find_photos(photos, output=worker.output)
    if not found.photos and not found.left_out:
        raise FileNotFoundError(f"there are no photos in {os.fspath(photos)}, and {found.others} other files")
    return found


def _segment(todo: list[str], table: str, workers: int | None, batch: int, arguments: dict[str, Any]) -> None:
    # A cluster that is started here reports nothing about itself.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import pyarrow as pa
    import ray

    if not ray.is_initialized():
        ray.init(address=os.environ.get("RAY_ADDRESS"), log_to_driver=False)
    # Where workers take all processors, reading and writing the tables has none left, and the run stands still without a word.
    processors = int(ray.cluster_resources().get("CPU", 1))
    free = max(1, processors - 1)
    if workers is not None and workers > free:
        raise ValueError(f"{workers} workers, and the cluster has processors for {free}: one of its {processors} stays free")
    rows = ray.data.from_arrow(pa.table({"path": pa.array(todo, pa.string())}))
    rows = rows.repartition(target_num_rows_per_block=batch).map_batches(
        _Actor,
        fn_constructor_kwargs=arguments,
        batch_size=batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(workers or free, -(-len(todo) // batch))),
        # Where there is one only, the worker shares it: Ray counts a whole one for each task that reads and writes tables.
        num_cpus=1 if processors > 1 else 0,
    )
    rows.write_parquet(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clothseg.ray", description=__doc__.partition("\n")[0])
    parser.add_argument("input", help="folder of photos, or an address such as s3://bucket/photos (with fsspec)")
    parser.add_argument("output", help="folder or address of the results; the table is in its folder 'table'")
    parser.add_argument("--workers", type=int, metavar="N", help="workers; one a processor, less one, without it")
    parser.add_argument("--batch", type=int, metavar="N", default=BATCH, help=f"photos at a time ({BATCH})")
    parser.add_argument("--formats", type=_names, metavar="NAMES", default="masks,json", help="files for each photo (masks,json)")
    parser.add_argument("--classes", type=_names, metavar="NAMES", help="classes, aliases or groups; all garments without it")
    parser.add_argument("--model", metavar="FILE", help="ONNX model, which every worker can read; the built-in one without it")
    parser.add_argument("--quality", choices=("fast", "best"), default="fast")
    return parser


def _names(text: str) -> list[str]:
    """Names between commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("it names nothing")
    return names


def main() -> None:
    """The command. It ends with 0 where all photos are done, 1 where some failed, 2 where it could not run, 130 where it was stopped."""
    parser = _parser()
    given = parser.parse_args()
    try:
        options = vars(given).copy()
        summary = run(options.pop("input"), options.pop("output"), **options)
    except (ClothsegError, OSError, ValueError, ImportError) as error:
        parser.exit(NOTHING_RAN, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(STOPPED, "stopped; the same command goes on\n")
    except Exception as error:  # noqa: BLE001 - Ray has errors of its own, and status 1 says that all others are done
        if not isinstance(error, RuntimeError):
            traceback.print_exc()
        parser.exit(NOTHING_RAN, f"error: {type(error).__name__}: {error}\n")
    _tell(summary, given.output)


def _tell(summary: Summary, output: str) -> NoReturn:
    """Says what a run came to, and ends with its status."""
    for part in summary.removed_parts:
        print(f"warning: {part} was cut off or no Parquet, and is removed; its photos were done again", file=sys.stderr)
    for part, why in sorted(summary.foreign_parts.items()):
        print(f"warning: {part} is left alone and does not count: {why}", file=sys.stderr)
    bad = summary.failed | summary.left_out
    for path, reason in sorted(bad.items()):
        print(f"error: {path}: {reason}", file=sys.stderr)
    parts = [f"{summary.done} of {summary.photos} photos done", f"{summary.before} of them before", f"{len(summary.failed)} failed"]
    if summary.left_out:
        parts.append(f"{len(summary.left_out)} left out that may hold pictures")
    if summary.others:
        parts.append(f"{summary.others} skipped that are no photos")
    print(f"{', '.join(parts)}; results in {output}", file=sys.stderr)
    sys.exit(SOME_FAILED if bad else 0)


if __name__ == "__main__":
    main()
