"""Threads, streams and processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import clothseg


def test_eight_threads_share_a_segmenter(segment: clothseg.Segmenter, astronaut: Path, hopper: Path) -> None:
    photos = [astronaut, hopper] * 3
    expected = {path: segment(path).labels.copy() for path in (astronaut, hopper)}
    together = threading.Barrier(8)

    def work(place: int) -> None:
        together.wait()
        for path in photos[place:] + photos[:place]:
            result = segment(path)
            np.testing.assert_array_equal(result.labels, expected[path])
            assert result.cutout().size == (result.width, result.height)

    with ThreadPoolExecutor(8) as pool:
        for ended in [pool.submit(work, place) for place in range(8)]:
            ended.result()


def test_one_result_may_be_asked_by_eight_threads(result: clothseg.Result) -> None:
    def ask(_: int) -> tuple[int, int]:
        name = result[0].label
        return len(result.polygons(name)), int(result.labels.sum()) + int(result.mask(name).sum())

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(32)))) == 1


def test_the_interpreter_goes_on_meanwhile(pixels: np.ndarray) -> None:
    import PIL.Image

    large = np.asarray(PIL.Image.fromarray(pixels).resize((3000, 3000)))
    segment = clothseg.Segmenter(quality="best")
    segment(large)
    stop, longest = threading.Event(), 0.0

    def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not stop.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    clock = threading.Thread(target=tick)
    clock.start()
    began = time.perf_counter()
    for _ in range(3):
        segment(large)
    each = (time.perf_counter() - began) / 3
    stop.set()
    clock.join()
    # With the lock held the clock would stand still for a whole call.
    assert longest < 0.8 * each, (longest, each)


def test_a_stream_keeps_the_order_and_reads_no_further_than_it_must(
    segment: clothseg.Segmenter, astronaut: Path, hopper: Path
) -> None:
    taken = 0

    def photos() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield astronaut if taken % 3 else hopper

    stream = segment.stream(photos(), workers=3)
    assert taken == 0
    for place in range(1, 13):
        result = next(stream)
        assert isinstance(result, clothseg.Result)
        assert result.path == (astronaut if place % 3 else hopper)
        assert taken <= place + 6
    stream.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("clothseg") for thread in threading.enumerate())


def test_a_stream_agrees_with_single_calls(segment: clothseg.Segmenter, astronaut: Path, hopper: Path) -> None:
    photos = [astronaut, hopper, astronaut]
    for path, result in zip(photos, segment.stream(photos, classes=["garment"]), strict=True):
        assert isinstance(result, clothseg.Result)
        # Another number of threads may add in another order.
        assert (result.labels == segment(path).labels).mean() > 0.999
    assert list(segment.stream([])) == []


def test_a_stream_takes_arrays_that_hold_several_photos(segment: clothseg.Segmenter, pixels: np.ndarray, hopper: Path) -> None:
    expected = segment(pixels).labels
    (one, two) = segment.stream(np.stack([pixels, pixels]))
    assert one.width == 512 and (one.labels == expected).mean() > 0.999 and (two.labels == expected).mean() > 0.999
    for images in (np.array([str(hopper)] * 2), np.array([hopper, None], object)[:1], list(np.stack([pixels])[:, :, :, 1])):
        assert all(isinstance(result, clothseg.Result) for result in segment.stream(images))


def test_an_error_is_raised_or_given_in_its_place(segment: clothseg.Segmenter, hopper: Path) -> None:
    photos = [hopper, b"no photo", hopper, "absent.jpg", hopper]
    got = list(segment.stream(photos, on_error="return", workers=2))
    kinds = [clothseg.Result, clothseg.DecodeError, clothseg.Result, clothseg.ReadError, clothseg.Result]
    assert [type(one) for one in got] == kinds
    stream = segment.stream(photos, workers=2)
    assert isinstance(next(stream), clothseg.Result)
    with pytest.raises(clothseg.DecodeError):
        next(stream)
    # What is a mistake in the program is raised either way.
    with pytest.raises(TypeError):
        list(segment.stream([hopper, 3], on_error="return"))  # type: ignore[list-item]


def test_a_segmenter_pickles_as_its_arguments(hopper: Path) -> None:
    one = clothseg.Segmenter(threads=1, quality="best", max_megapixels=2)
    other = pickle.loads(pickle.dumps(one))
    assert repr(other) == repr(one) and other.engine["quality"] == "best" and other.engine["threads"] == 1
    np.testing.assert_array_equal(one(hopper).labels, other(hopper).labels)
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(one(hopper))


def _area(job: tuple[clothseg.Segmenter, str]) -> int:
    segment, path = job
    return int((segment(path).labels > 0).sum())


def test_spawned_processes_take_a_segmenter(segment: clothseg.Segmenter, astronaut: Path, result: clothseg.Result) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        areas = list(pool.map(_area, [(segment, str(astronaut))] * 2))
    expected = int((result.labels > 0).sum())
    assert areas == [expected, expected]


FORK = """
import os, sys
import clothseg

def child():
    status = 0
    for action in (lambda: segment(sys.argv[1]), lambda: clothseg.Segmenter(), lambda: result.polygons("garment")):
        try:
            action()
            status = 1
        except clothseg.EngineError as error:
            if "spawn" not in str(error):
                status = 2
    if not result.labels.any():
        status = 3
    os._exit(status)

segment = clothseg.Segmenter()
result = segment(sys.argv[1])
process = os.fork()
if process == 0:
    child()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""

FORK_FIRST = """
import os, sys
import clothseg

process = os.fork()
segment = clothseg.Segmenter()
ok = len(segment(sys.argv[1])) > 0
if process == 0:
    os._exit(0 if ok else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) or (not ok))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("program", [FORK, FORK_FIRST], ids=["after use", "before use"])
def test_a_fork_after_use_says_spawn_and_one_before_works(program: str, astronaut: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, astronaut], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
