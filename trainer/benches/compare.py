"""Times benchmark workers against each other, in turns, so that whatever slows the machine slows all of them alike.

    compare.py --net NET... --worker NAME=COMMAND... [--others NAME] [--rounds 7] [--seconds 4] [--markdown FILE]

A worker is a command that prints `ready NAME parameters=COUNT batch=B` and then, for each line with a number N on
standard input, trains N steps and prints the seconds they took. `{net}` in the command is replaced by the network's
name. All workers of a network run at once, but only one of them trains; the others wait for their input, which takes no
CPU time. Every round gives each worker one turn, in an order that is reversed every other round.

The workers before the last are what the last one is compared with. Ratios are those of images a second within one
round; the table shows their median, and the smallest and the largest in brackets:

    x LAST      the worker against the last one
    x OTHERS    the worker against the fastest of the others in that round (`--others` names the column)

Exits with 1 where a worker failed; its last lines on standard error are shown.
"""

import argparse
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile


class WorkerFailure(Exception):
    pass


class Worker:
    """A running worker; `rates` are its images a second, one for each turn."""

    def __init__(self, name, command, net):
        self.name = name
        self.rates = []
        words = [word.replace("{net}", net) for word in shlex.split(command)]
        self.stderr = tempfile.TemporaryFile("w+", errors="replace")
        try:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True
            )
        except OSError as error:
            self.stderr.close()
            raise WorkerFailure(f"{name}: cannot start {shlex.join(words)}: {error}") from error

    def failure(self, what):
        """What went wrong, and what the worker had to say about it."""
        self.stderr.seek(0)
        lines = self.stderr.read().splitlines()[-15:]
        return WorkerFailure("\n  ".join([f"{self.name}: {what}", *lines]))

    def read_line(self):
        line = self.process.stdout.readline()
        if not line:
            try:
                raise self.failure(f"ended early, with exit status {self.process.wait(10)}")
            except subprocess.TimeoutExpired:
                raise self.failure("closed its output early") from None
        return line.strip()

    def await_ready(self):
        line = self.read_line()
        words = line.split()
        facts = dict(word.split("=", 1) for word in words if "=" in word)
        try:
            if words[0] != "ready":
                raise ValueError(line)
            self.parameters = int(facts["parameters"])
            self.batch = int(facts["batch"])
        except (IndexError, KeyError, ValueError):
            raise self.failure(f"unexpected line {line!r} instead of `ready`") from None

    def train(self, steps):
        """Seconds that this many steps took."""
        try:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        except OSError:
            pass  # It has ended; reading its answer says so.
        line = self.read_line()
        try:
            seconds = float(line)
        except ValueError:
            seconds = 0
        if not seconds > 0:
            raise self.failure(f"unexpected line {line!r} instead of seconds")
        return seconds

    def calibrate(self, seconds):
        """Chooses the steps of a turn so that it lasts about so long, from a first step and a short turn."""
        step_seconds = self.train(1)
        trial_steps = int(seconds / 4 / step_seconds)
        if trial_steps > 1:
            step_seconds = self.train(trial_steps) / trial_steps
        self.steps = max(1, round(seconds / step_seconds))

    def turn(self):
        self.rates.append(self.steps * self.batch / self.train(self.steps))

    def close(self):
        """Ends the worker; one that does not end by itself, because it failed, is killed."""
        try:
            self.process.stdin.close()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.stderr.close()


def compare(net, commands, rounds, seconds):
    """Runs all rounds of one network; returns the workers, ended, with their rates."""
    workers = []
    try:
        for name, command in commands:
            say(f"{net}: starting {name} ...")
            worker = Worker(name, command, net)
            workers.append(worker)
            # One after the other, so that no start disturbs another's warm-up or takes its memory at the same time.
            worker.await_ready()
        for worker in workers:
            worker.calibrate(seconds)
        for index in range(rounds):
            for worker in workers if index % 2 == 0 else reversed(workers):
                worker.turn()
            shown = ", ".join(f"{worker.name} {worker.rates[-1]:.2f}" for worker in workers)
            say(f"{net}: round {index + 1} of {rounds}: images/s: {shown}")
        return workers
    finally:
        for worker in workers:
            worker.close()


def rows_of(net, workers):
    """The table's rows of one network, one for each worker."""
    *others, last = workers
    # Of a single worker there is no other.
    best_other = [max(rates) for rates in zip(*(other.rates for other in others))]
    rows = []
    for worker in workers:
        rows.append(
            [
                net,
                worker.name,
                f"{worker.parameters:,}",
                number(statistics.median(worker.rates)),
                f"{number(min(worker.rates))} - {number(max(worker.rates))}",
                ratio_cell(worker.rates, last.rates),
                ratio_cell(worker.rates, best_other),
            ]
        )
    return rows


def ratio_cell(rates, references):
    ratios = [rate / reference for rate, reference in zip(rates, references)]
    if not ratios or rates is references:
        return "-"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} - {max(ratios):.2f})"


def number(rate):
    return f"{rate:.1f}" if rate >= 10 else f"{rate:.2f}"


def markdown(header, rows):
    """The table as Markdown, which reads as well on a terminal: columns padded, numbers to the right."""
    texts = 2
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows)]

    def line(cells):
        padded = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column < texts else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *map(line, rows)])


def say(text):
    print(text, file=sys.stderr, flush=True)


def name_and_command(text):
    name, equals, command = text.partition("=")
    if not (name and equals and command.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name, command


def positive(kind):
    def parse(text):
        value = kind(text)
        if not value > 0:
            raise ValueError(text)
        return value

    parse.__name__ = "positive number"
    return parse


def main():
    arguments = argparse.ArgumentParser(description="Times benchmark workers against each other, in turns.")
    arguments.add_argument("--net", nargs="+", required=True, help="networks to train")
    arguments.add_argument(
        "--worker",
        action="append",
        type=name_and_command,
        required=True,
        metavar="NAME=COMMAND",
        help="a worker, in one word; once for each; {net} stands for the network",
    )
    arguments.add_argument("--others", default="best other", help="what all workers but the last are, together")
    arguments.add_argument("--rounds", type=positive(int), default=7, help="turns of each worker (7)")
    arguments.add_argument("--seconds", type=positive(float), default=4, help="a turn's length, about (4)")
    arguments.add_argument("--markdown", type=pathlib.Path, help="also write the table to this file")
    arguments = arguments.parse_args()

    last = arguments.worker[-1][0]
    header = ["network", "worker", "parameters", "images/s", "min - max", f"x {last}", f"x {arguments.others}"]
    rows = []
    failures = 0
    for net in arguments.net:
        try:
            rows += rows_of(net, compare(net, arguments.worker, arguments.rounds, arguments.seconds))
        except WorkerFailure as failure:
            say(f"{net}: {failure}")
            failures += 1
    if rows:
        table = markdown(header, rows)
        print(table)
        if arguments.markdown:
            arguments.markdown.write_text(table + "\n", encoding="utf-8")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
