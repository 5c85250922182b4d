"""`python -m tests.peers`: this gateway beside what users would pick instead, in one run; prints Markdown tables.

It starts everything itself and ends it: TimescaleDB, Valkey and mosquitto for the gateway, InfluxDB 1.6.7 and
VictoriaMetrics 1.79 from Debian's packages, two FastAPI applications in an environment of their own. The first run
fetches what is missing and keeps it. All targets are measured once, then all again, so that what else the machine does
falls on all alike; each is started afresh on an empty store. What is stored is counted in the store and compared with
what was acknowledged, and each is killed -9 under load and asked what it still has.

Exit codes: 0 measured; 1 the gateway has lost something that it had acknowledged; 2 it cannot be run, or was stopped.

    make peers                                                        all of it: 25 minutes
    make peers ARGS="run --targets gateway,influxdb --works W1,W2"    some of it
    make peers ARGS="run --rounds 1 --seconds 3"                      a short look: 3 minutes
    make peers ARGS="crash"                                           only the kill -9
"""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import asyncpg
import msgspec

from gateway.core.errors import LocalStackError
from simulator.measure.bench.processes import describe
from tests.peers.baselines import ExecuteMany, Unnest
from tests.peers.gateway import GatewayTarget, Servers
from tests.peers.measure import Killed, Measured, killed, measured
from tests.peers.report import tables
from tests.peers.stores import Influx, Victoria
from tests.peers.target import Target
from tests.peers.works import WORKS
from tests.servers import choose
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Limits
from tests.servers.postgres import BENCH_TUNING

CLASSES = (GatewayTarget, Influx, Victoria, ExecuteMany, Unnest)
NAMES = [each.name for each in CLASSES]
KILLED_WORKS = ("W2", "W4")
LOST, IMPOSSIBLE = 1, 2
FAILURES = (LocalStackError, NoGroundError, subprocess.SubprocessError, OSError, asyncpg.PostgresError)


class Figures(msgspec.Struct):
    """All that was measured, as `--json` writes it."""

    machine: str
    when: str
    command: str
    runs: list[Measured] = []
    kills: list[Killed] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ends unwind the stack below
    command = "python -m tests.peers " + " ".join(sys.argv[1:] if arguments is None else arguments)
    figures = Figures(describe(), f"{datetime.now(UTC):%Y-%m-%dT%H:%M+00:00}", command.strip())
    try:
        with ExitStack() as stack:
            targets = opened(stack, options)
            measure_all(targets, options, figures)
    except FAILURES as error:
        sys.stderr.write(f"{error}\n")
        return IMPOSSIBLE
    except KeyboardInterrupt:
        return IMPOSSIBLE
    finally:
        show(figures)
    return LOST if any(kill.lost for kill in figures.kills if kill.target == GatewayTarget.name) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=["all", "run", "crash"], default="all")
    parser.add_argument("--targets", type=picked(NAMES), default=NAMES, help=f"of {','.join(NAMES)}")
    parser.add_argument("--works", type=picked(list(WORKS)), default=list(WORKS), help=f"of {','.join(WORKS)}")
    parser.add_argument("--rounds", type=int, default=3, help="default 3; medians are shown")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each load (default 8)")
    parser.add_argument("--json", type=Path, help="write every figure there, after each measurement")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of kill -9")
    return parser.parse_args(arguments)


class picked:  # noqa: N801 -- argparse shows its name
    """Reads names with commas between them, in their usual order."""

    def __init__(self, known: list[str]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        wanted = {name.strip() for name in text.split(",")} - {""}
        if not wanted or wanted - set(self._known):
            raise argparse.ArgumentTypeError(f"takes names out of {','.join(self._known)}")
        return [name for name in self._known if name in wanted]


def opened(stack: ExitStack, options: argparse.Namespace) -> list[Target]:
    """Return the targets that were asked for and can be had; nothing of them runs yet."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))
    database = stack.enter_context(choose.own_timescale(BENCH_TUNING)).url()
    targets: list[Target] = []
    for each in CLASSES:
        if each.name in options.targets:
            try:
                targets.append(made(each, stack, database, folder))
            except NoGroundError as error:
                if each is GatewayTarget:
                    raise
                say(f"{each.name} is left out: {error}")
    return targets


def made(kind: type[Target], stack: ExitStack, database: str, folder: Path) -> Target:
    """Return one; what it stands on is ended with the stack."""
    if kind is GatewayTarget:
        redis = stack.enter_context(choose.valkey()).url()
        return GatewayTarget(Servers(database, redis, stack.enter_context(choose.mosquitto(Limits())).url), folder)
    if issubclass(kind, ExecuteMany | Unnest):
        return kind(database, folder)
    assert issubclass(kind, Influx | Victoria)
    return kind(folder)


def measure_all(targets: Sequence[Target], options: argparse.Namespace, figures: Figures) -> None:
    """Measure everything in rounds; one that fails is told, and left out."""
    random = Random(options.seed)
    for number, target, name, is_kill in plan(targets, options):
        place = f"round {number + 1} of {options.rounds}: {target.name}, {name}"
        tag = f"{'k' if is_kill else 'r'}{number}"
        try:
            if is_kill:
                kill = killed(target, WORKS[name], seconds=options.seconds, tag=tag, random=random)
                figures.kills.append(kill)
                say(f"{place}, kill -9: {kill.lost:,} of {kill.acknowledged:,} acknowledged readings lost")
            else:
                run = measured(target, WORKS[name], seconds=options.seconds, tag=tag)
                figures.runs.append(run)
                say(f"{place}: {run.rate:,.0f} readings/s, {run.cpu_for_a_million():.2f} CPU s/M {run.errors or ''}")
        except FAILURES as error:
            say(f"{place}: not measured: {error}")
        if options.json:
            options.json.write_bytes(msgspec.json.encode(figures))


def plan(targets: Sequence[Target], options: argparse.Namespace) -> Iterator[tuple[int, Target, str, bool]]:
    """Yield round, target, work, and whether it is to be killed under it: loads first, all targets in each round."""
    for is_kill in (False, True):
        if options.what == ("run" if is_kill else "crash"):
            continue
        for number in range(options.rounds):
            for target in targets:
                works = [name for name in options.works if target.door(name) is not None]
                for name in works:
                    if not is_kill or name in KILLED_WORKS:
                        yield number, target, name, is_kill


def show(figures: Figures) -> None:
    """Print the tables of what was measured."""
    if figures.runs or figures.kills:
        named = {each.name: (each.title, each.promise) for each in CLASSES}
        head = f"{figures.when}. {figures.machine}.\n\n```bash\n{figures.command}\n```\n\n"
        sys.stdout.write(head + tables(figures.runs, figures.kills, named))


def say(text: str) -> None:
    """Tell people how it goes."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
