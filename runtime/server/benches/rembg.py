"""clothseg-serve against rembg's server: the same network, the same photos, the same requests to /api/remove, in turns.

Both answer with a cut-out. Everything runs on this machine, the clients too. Needs nothing but Python's standard library and the
programs. Exit status 1 where a request fails.
"""

import argparse
import collections
import http.client
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from load import photos_of

BOUNDARY = "clothseg-bench"
START_S = 120


def arguments():
    parser = argparse.ArgumentParser(prog="ci/bench server rembg", description=__doc__)
    parser.add_argument("photos", nargs="?", type=pathlib.Path, help="a folder of JPEGs; the sample photos without it")
    parser.add_argument("--serve", required=True, help="clothseg-serve")
    parser.add_argument("--rembg", required=True, help="rembg's program")
    parser.add_argument("--model", required=True, help="the network of both, as rembg has it: u2net_cloth_seg.onnx")
    parser.add_argument("--count", type=int, default=20, help="photos a round")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


class Server:
    """A server that is asked until it answers."""

    def __init__(self, name, command, port, log, **environment):
        self.name, self.port = name, port
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        for _ in range(START_S * 10):
            if self.process.poll() is not None:
                raise SystemExit(f"{name} did not start; see {log.name}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"{name} did not answer within {START_S} s; see {log.name}")

    def remove(self, client, photo, model):
        """Status and seconds of one request."""
        fields = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n' if model else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        body = fields.encode() + head.encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
        started = time.perf_counter()
        client.request("POST", "/api/remove", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        answer = client.getresponse()
        answer.read()
        return answer.status, time.perf_counter() - started

    def round(self, photos, clients, model):
        """Photos a second and the seconds of each, from so many clients that wait for their answers."""
        rest, lock, times, statuses = iter(photos), threading.Lock(), [], collections.Counter()

        def work():
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
            while True:
                with lock:
                    photo = next(rest, None)
                if photo is None:
                    return
                status, took = self.remove(client, photo, model)
                with lock:
                    statuses[status] += 1
                    times.append(took)

        started = time.perf_counter()
        threads = [threading.Thread(target=work) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if set(statuses) != {200} or sum(statuses.values()) != len(photos):
            raise SystemExit(f"{self.name}: answers were {dict(statuses)}")
        return len(photos) / (time.perf_counter() - started), times

    def peak_mib(self):
        """The most memory that the process has had; nothing where the system does not tell."""
        try:
            lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), None)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    options = arguments()
    photos = photos_of(options.photos, options.count)
    clients = len(os.sched_getaffinity(0)) + 1
    ports = [free_port(), free_port()]
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as log:
        ours = Server("clothseg-serve", [options.serve, "--listen", f"127.0.0.1:{ports[0]}", "--model", options.model, "--spec", "u2net-cloth"], ports[0], log)
        theirs = Server(
            "rembg",
            [options.rembg, "s", "--host", "127.0.0.1", "--port", str(ports[1]), "--log_level", "warning"],
            ports[1],
            log,
            U2NET_HOME=str(pathlib.Path(options.model).resolve().parent),
            MODEL_CHECKSUM_DISABLED="1",
        )
        servers = [(ours, None), (theirs, "u2net_cloth_seg")]
        try:
            # The first request opens rembg's model.
            for server, model in servers:
                server.round(photos[:1], 1, model)
            rates, times = collections.defaultdict(list), collections.defaultdict(list)
            for number in range(options.rounds):
                for server, model in servers:
                    rate, took = server.round(photos, clients, model)
                    rates[server.name].append(rate)
                    times[server.name] += took
                rest = ", ".join(f"{name} {rate[-1]:.2f}" for name, rate in rates.items())
                print(f"round {number + 1}: {rest} photos a second", flush=True)
            for server, _ in servers:
                name, took = server.name, sorted(times[server.name])
                p99, peak = took[min(len(took) - 1, int(0.99 * len(took)))], server.peak_mib()
                memory = "" if peak is None else f", at most {peak:.0f} MiB"
                print(f"{name}: {statistics.median(rates[name]):.2f} photos a second, p50 {statistics.median(took):.2f} s, p99 {p99:.2f} s{memory}")
            ratio = statistics.median(one / other for one, other in zip(rates["clothseg-serve"], rates["rembg"]))
            print(f"clothseg-serve does {ratio:.2f} x as many photos as rembg")
        finally:
            for server, _ in servers:
                server.stop()
    os.unlink(log.name)


if __name__ == "__main__":
    main()
