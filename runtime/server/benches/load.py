"""clothseg-serve under load: throughput against clothseg-run, latency at overload, memory.

Everything runs on this machine, the clients too, so each figure stands beside one that was measured in the same minutes. Exit status
1 where a target is missed. Needs nothing but Python's standard library.
"""

import argparse
import collections
import http.client
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

FORMAT = "labels"


def arguments():
    parser = argparse.ArgumentParser(prog="ci/bench server", description=__doc__)
    parser.add_argument("photos", nargs="?", type=pathlib.Path, help="a folder of JPEGs; the sample photos without it")
    parser.add_argument("--run", required=True, help="clothseg-run")
    parser.add_argument("--serve", required=True, help="clothseg-serve")
    parser.add_argument("--count", type=int, default=200, help="photos a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--overload-s", type=float, default=20.0, help="seconds of overload")
    parser.add_argument("--requests", type=int, default=5000, help="requests while memory is watched")
    parser.add_argument("--queue", type=int, default=8)
    return parser.parse_args()


def photos_of(folder, count):
    """So many JPEGs of a folder, again and again from the first; those of the samples without one."""
    folder = folder or pathlib.Path(__file__).resolve().parents[3] / "samples"
    found = sorted(folder.glob("*.jp*g"))
    if not found:
        raise SystemExit(f"there are no JPEGs in {folder}")
    return [found[number % len(found)].read_bytes() for number in range(count)]


class Server:
    """A running clothseg-serve."""

    def __init__(self, program, *options):
        command = [program, "--listen", "127.0.0.1:0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"listening on http://(\S+)", line):
                self.address = found.group(1)
                break
        else:
            raise SystemExit("clothseg-serve did not start")
        threading.Thread(target=lambda: collections.deque(self.process.stderr, 0), daemon=True).start()

    def client(self):
        return http.client.HTTPConnection(self.address, timeout=120)

    def metric(self, name):
        client = self.client()
        client.request("GET", "/metrics")
        text = client.getresponse().read().decode()
        client.close()
        return float(re.search(rf"^{name} (\S+)", text, re.M).group(1))

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


def post(client, photo):
    """Status and seconds of one request."""
    started = time.perf_counter()
    client.request("POST", f"/v1/segment?format={FORMAT}", photo, {"Content-Type": "image/jpeg"})
    answer = client.getresponse()
    answer.read()
    return answer.status, time.perf_counter() - started


def closed_loop(server, photos, clients):
    """Sends all photos from so many clients, each of which waits for its answers. Returns photos a second."""
    rest = iter(photos)
    lock = threading.Lock()
    statuses = collections.Counter()

    def work():
        client = server.client()
        while True:
            with lock:
                photo = next(rest, None)
            if photo is None:
                return
            status, _ = post(client, photo)
            with lock:
                statuses[status] += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}, statuses
    return len(photos) / (time.perf_counter() - started)


def open_loop(server, photos, per_second, seconds):
    """Sends photos at this rate, whatever the answers. Returns seconds of the requests by status."""
    times = collections.defaultdict(list)
    lock = threading.Lock()
    threads = []

    def one(photo):
        client = server.client()
        try:
            status, took = post(client, photo)
        except OSError as error:
            status, took = type(error).__name__, 0.0
        client.close()
        with lock:
            times[status].append(took)

    started = time.perf_counter()
    for number in range(int(per_second * seconds)):
        time.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        thread = threading.Thread(target=one, args=(photos[number % len(photos)],))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return times


def folder_run(program, folder, out):
    """clothseg-run over the same photos. Returns photos a second, as it says itself: without opening the model."""
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run([program, folder, "-o", out, "--format", FORMAT], capture_output=True, text=True, check=True)
    return float(re.search(r"([\d.]+) photos a second", done.stderr).group(1))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def main():
    options = arguments()
    contents = photos_of(options.photos, options.count)
    missed = []

    def judge(what, holds):
        print(f"{'holds ' if holds else 'MISSED'}  {what}", flush=True)
        if not holds:
            missed.append(what)

    with tempfile.TemporaryDirectory() as scratch:
        folder, out = pathlib.Path(scratch, "in"), pathlib.Path(scratch, "out")
        folder.mkdir()
        for number, content in enumerate(contents):
            (folder / f"{number:05}.jpg").write_bytes(content)

        server = Server(options.serve, "--queue", str(options.queue))
        jobs = len(os.sched_getaffinity(0))
        ratios, capacity = [], 0.0
        for number in range(options.rounds):
            by_run = folder_run(options.run, folder, out)
            by_server = closed_loop(server, contents, jobs + 1)
            ratios.append(by_server / by_run)
            capacity = max(capacity, by_server)
            print(f"round {number + 1}: clothseg-run {by_run:.1f}, clothseg-serve {by_server:.1f} photos a second", flush=True)
        ratio = statistics.median(ratios)
        judge(f"throughput {ratio:.2f} of clothseg-run's (at least 0.90)", ratio >= 0.9)

        times = open_loop(server, contents, 2 * capacity, options.overload_s)
        done, refused = times.pop(200, []), times.pop(503, [])
        bound = (jobs + options.queue + 1) / capacity
        print(f"overload, {2 * capacity:.0f} requests a second: {len(done)} done, {len(refused)} refused, others {dict(times)}")
        if done:
            p50, p99 = (percentile(done, share) for share in (0.5, 0.99))
            # The clients take their part of the same cores, hence the factor.
            judge(f"p99 of those done {p99 * 1e3:.0f} ms, p50 {p50 * 1e3:.0f} ms (at most 2 x {bound * 1e3:.0f} ms, the full queue)", p99 <= 2 * bound)
        if refused:
            print(f"p99 of those refused {percentile(refused, 0.99) * 1e3:.0f} ms")
        judge("some are done, some are refused, and nothing else happens", bool(done and refused and not times))

        memory = []
        for _ in range(10):
            rest = options.requests // 10
            closed_loop(server, [contents[number % len(contents)] for number in range(rest)], jobs + 1)
            memory.append(server.metric("process_resident_memory_bytes") / 2**20)
        print(f"memory over {options.requests} requests, MiB: {', '.join(f'{one:.0f}' for one in memory)}")
        growth = memory[-1] / memory[2]
        judge(f"memory at the end {growth:.3f} of that after 30 % (at most 1.05)", growth <= 1.05)
        judge("nothing is left in work", server.metric("clothseg_photos_running") == server.metric("clothseg_photos_waiting") == 0)
        judge("it stops with all requests answered", server.stop() == 0)
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
