"""`python -m tests.chaos`: real servers, every fault under load, a table; exit code 1 if anything was not kept."""

import argparse
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from gateway.core.errors import LocalStackError
from tests.chaos.campaign import Load, Result, run_block
from tests.chaos.clock import library
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.scene import Ground, ground
from tests.chaos.trial import Trial
from tests.chaos.trials import TRIALS
from tests.servers.errors import NoGroundError

AROUND_SECS = 12.0
"""What a block takes besides its rounds: a gateway's start, and the verdict."""
COUNTS = ("acknowledged", "gone", "lost", "duplicated", "wrong", "state_wrong")


def main() -> int:
    """Run the campaign; 2 if it cannot be run here."""
    options = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ends unwind the stack below
    console = Console(stderr=True)
    console.print(f"seed {options.seed}", highlight=False)
    try:
        if any(fault.steps_clock for fault in options.faults):
            library()  # better now than after minutes
        with folder_of(options) as folder, ground(folder) as servers:
            results = list(campaign(servers, options, console))
            trials = [attempt(servers, name, console) for name in options.trials]
    except (NoGroundError, LocalStackError) as error:
        console.print(str(error), markup=False)
        return 2
    except KeyboardInterrupt:
        return 2
    if results:
        Console(width=110).print(table(results))
    troubles = [text for result in results for text in result.troubles] + [
        text for one in trials for text in one.troubles
    ]
    return 1 if troubles else 0


@contextmanager
def folder_of(options: argparse.Namespace) -> Iterator[Path]:
    """Where the log of the gateway and its spool are kept: for good if asked for, else as long as we run."""
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        yield options.folder
        return
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        yield Path(folder)


def arguments() -> argparse.Namespace:
    """The command line."""
    known = {fault.name: fault for fault in FAULTS}
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long all of it may take")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*known, *TRIALS],
        default=list(known),
        metavar="NAME",
        help=f"only these faults, or these trials, which take as long as they need: {', '.join(TRIALS)}",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each fault; default: as many as each fault is worth")
    parser.add_argument("--rate", type=int, default=Load.rate, help="readings offered a second")
    parser.add_argument("--folder", type=Path, help="keep the gateway's log there")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides the moments")
    options = parser.parse_args()
    options.faults = [known[name] for name in options.only if name in known]
    options.trials = [name for name in options.only if name in TRIALS]
    return options


def campaign(servers: Ground, options: argparse.Namespace, console: Console) -> Iterator[Result]:
    """One block for each fault; each has an even share of the time that is left, by its rounds."""
    rng, end = Random(options.seed), time.monotonic() + 60 * options.minutes
    faults: Sequence[Fault] = options.faults
    for number, fault in enumerate(faults):
        weight = fault.rounds / sum(other.rounds for other in faults[number:])
        left = end - time.monotonic() - AROUND_SECS * (len(faults) - number)
        result = run_block(
            servers,
            [fault],
            rounds=options.rounds or fault.rounds,
            seconds=max(0.0, left * max(weight, 1 / (2 * len(faults)))),
            rng=rng,
            load=Load(rate=options.rate),
        )
        console.print(f"{result.name}: {len(result.recoveries)} rounds, worst {result.worst:.1f} s", highlight=False)
        for trouble in result.troubles:
            console.print(f"  {trouble}", style="red", highlight=False, markup=False)
        yield result


def attempt(servers: Ground, name: str, console: Console) -> Trial:
    """Carry out one trial, and say what came of it."""
    try:
        trial = TRIALS[name](servers)
    except AssertionError as error:  # something was waited for in vain
        trial = Trial(name, troubles=[str(error)])
    console.print(name)
    for title, figure in trial.figures.items():
        console.print(f"  {title}: {figure}", highlight=False, markup=False)
    for trouble in trial.troubles:
        console.print(f"  {trouble}", style="red", highlight=False, markup=False)
    return trial


def table(results: Sequence[Result]) -> Table:
    """What became of every reading, by fault."""
    made = Table(box=None, pad_edge=False)
    made.add_column("fault", no_wrap=True)
    for title in ("rounds", *(name.replace("_", " ") for name in COUNTS), "ledger", "worst s"):
        made.add_column(title, justify="right", no_wrap=True)
    for result in results:
        counts = [f"{result.counts[name]:,}" if name in result.counts else "?" for name in COUNTS]
        style = None if result.is_good else "red"
        ledger = f"{result.unbalanced} off" if result.unbalanced else "balanced"
        made.add_row(result.name, str(len(result.recoveries)), *counts, ledger, f"{result.worst:.1f}", style=style)
    totals = [f"{sum(result.counts.get(name, 0) for result in results):,}" for name in COUNTS]
    rounds = sum(len(result.recoveries) for result in results)
    worst = max((result.worst for result in results), default=0.0)
    off = sum(result.unbalanced for result in results)
    made.add_row("all", str(rounds), *totals, f"{off} off" if off else "balanced", f"{worst:.1f}", style="bold")
    return made


if __name__ == "__main__":
    sys.exit(main())
