"""Times whole commands against each other, in turns, so that whatever slows the machine slows all of them alike.

    paired.py [--rounds 5] [--items N --unit photos] [--clean FOLDER] [--markdown FILE] [--title TEXT] NAME=COMMAND...

Each round runs every command once, in an order that is reversed every other round; one round more comes first and does not
count. A command's time is that of its whole process, start-up included, unless it prints a line `seconds S` (and maybe
`memory_mb M`): then that is what it says it took, and how much memory more than it needed before. Otherwise the memory is
the largest resident size of the process. Folders named by --clean are emptied before each run.

The last command is what the others are compared with: `x LAST` is its speed over theirs within one round; the table shows
the median of the rounds, and the smallest and the largest in brackets. Exits with 1 where a command failed.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


class Program:
    def __init__(self, text):
        self.name, _, command = text.partition("=")
        self.words = shlex.split(command)
        self.seconds, self.memory_mb = [], []

    def run(self):
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            start = time.perf_counter()
            process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            lines = output.read().splitlines()
        if process.returncode != 0:
            tail = "\n  ".join(lines[-15:])
            sys.exit(f"{self.name}: exit status {process.returncode}\n  {tail}")
        said = dict(line.split() for line in lines if line.startswith(("seconds ", "memory_mb ")))
        # Linux counts in KiB.
        return float(said.get("seconds", seconds)), float(said.get("memory_mb", usage.ru_maxrss / 1024))


def spread(values, digits):
    """Median, and the smallest and the largest in brackets."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(programs, items, unit):
    last = programs[-1]
    rate = f"{unit} a second" if items > 1 else "ms"
    lines = [f"| | {rate} | peak memory, MB | x {last.name} |", "| --- | ---: | ---: | ---: |"]
    for one in programs:
        speeds = [items / s for s in one.seconds] if items > 1 else [s * 1e3 for s in one.seconds]
        ratios = [other / mine for other, mine in zip(one.seconds, last.seconds)]
        beside = "" if one is last else spread(ratios, 2)
        lines.append(f"| {one.name} | {spread(speeds, 1)} | {statistics.median(one.memory_mb):.0f} | {beside} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="+", type=Program, metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, default=1)
    parser.add_argument("--unit", default="photos")
    parser.add_argument("--clean", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--markdown", type=pathlib.Path)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    for number in range(options.rounds + 1):
        order = options.programs if number % 2 == 0 else options.programs[::-1]
        for one in order:
            for folder in options.clean:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
            seconds, memory_mb = one.run()
            print(f"round {number}: {one.name}: {seconds:.3f} s, {memory_mb:.0f} MB", file=sys.stderr)
            if number > 0:
                one.seconds.append(seconds)
                one.memory_mb.append(memory_mb)
    text = table(options.programs, options.items, options.unit)
    if options.title:
        text = f"**{options.title}**\n\n{text}"
    print(text + "\n")
    if options.markdown:
        with options.markdown.open("a") as file:
            file.write(text + "\n\n")


main()
