"""`python -m tests.hostile`: every attack beside honest clients, with one worker and with two; a table.

Exit code 1 if anybody else was not served as promised, 2 if it cannot be run here.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.core.errors import LocalStackError
from tests.chaos.books import Books
from tests.chaos.scene import ground
from tests.hostile import attacks  # noqa: F401 - fills the table
from tests.hostile.attack import TABLE, Attack
from tests.hostile.bound_life import raise_open_files
from tests.hostile.stage import Servers, Stage, stage
from tests.hostile.trial import JUDGES, PATIENCE_SECS, Bench, Outcome, attempt
from tests.servers.errors import NoGroundError

BUDGET_SECS = 480.0
START_SECS = 8.0
"""What a gateway takes until it is measured and honest clients are calm."""
AROUND_SECS = 2.2
"""What an attack takes besides its own time: preparing, recovery, the ledger."""
SHORTEST_SECS, LONGEST_SECS = 1.5, 20.0
CALM_SECS, CAPACITY_SECS = 2.0, 2.0
EXAMPLES = """examples:
  make hostile
  make hostile ARGS="--list"
  make hostile ARGS="gzip-numbers slow-heads --seconds 10 --workers 1"
  make hostile ARGS="seats mqtt --seconds 5"                 whole families
  make hostile ARGS="decode --clock cpu"                    while the machine does other things, too
  make hostile ARGS="--folder /tmp/hostile"                  keep the gateway's log
"""


def main() -> int:
    """Attack, and say what came of it."""
    options = arguments()
    if options.list:
        Console(width=130).print(listing(options.chosen))
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both ends unwind the stack below
    console, outcomes, fell = Console(stderr=True, width=150), list[Outcome](), False
    raise_open_files()
    try:
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            place = options.folder or Path(folder)
            place.mkdir(parents=True, exist_ok=True)
            with ground(place) as found:
                servers = Servers(found.postgres.url(), found.valkey.url(), found.broker.url, place)
                for outcome in campaign(servers, options):
                    tell(console, outcome)
                    outcomes.append(outcome)
    except (NoGroundError, LocalStackError) as error:
        console.print(str(error), markup=False)
        return 2
    except AssertionError as error:  # something was waited for in vain
        console.print(str(error), markup=False, style="red")
        fell = True
    except KeyboardInterrupt:
        console.print("broken off")
        fell = True
    if outcomes:
        Console(width=110).print(table(outcomes))
    return 1 if fell or not outcomes or any(outcome.troubles for outcome in outcomes) else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these attacks, or families of them; see --list")
    parser.add_argument("--list", action="store_true", help="say which attacks there are, and do nothing")
    parser.add_argument("--seconds", type=float, help="of each attack; default: its part of eight minutes in all")
    parser.add_argument("--workers", default="1,2", help="numbers of workers, one gateway after the other")
    parser.add_argument(
        "--clock",
        choices=[*JUDGES],
        default="wall",
        help="cpu: waits are told by the CPU that the gateway took meanwhile, for a machine that does much else",
    )
    parser.add_argument("--folder", type=Path, help="keep the gateway's log there")
    options = parser.parse_args()
    families = {attack.family for attack in TABLE.values()}
    for name in options.names:
        if name not in TABLE and name not in families:
            parser.error(f"there is no attack {name!r}; there are {', '.join([*TABLE, *sorted(families)])}")
    options.chosen = [
        attack for attack in TABLE.values() if not options.names or {attack.name, attack.family} & {*options.names}
    ]
    try:
        options.workers = [int(word) for word in options.workers.split(",")]
    except ValueError:
        parser.error(f"--workers {options.workers!r} is no list of numbers; for example --workers 1,2")
    return options


def campaign(servers: Servers, options: argparse.Namespace) -> Iterator[Outcome]:
    """Attack gateway after gateway; the time that is left is shared by what is still to come."""
    end = time.monotonic() + BUDGET_SECS
    jobs = [(workers, attack) for workers in options.workers for attack in options.chosen]
    for workers in options.workers:
        mine = [attack for number, attack in jobs if number == workers]
        later = len([number for number in options.workers if number > workers])
        yield from _at_one(servers, workers, mine, options, end=end, later=later)


def _at_one(
    servers: Servers, workers: int, mine: Sequence[Attack], options: argparse.Namespace, *, end: float, later: int
) -> Iterator[Outcome]:
    """Attack gateways with so many workers; one that has fallen is replaced by another."""
    left, bench = list(mine), Bench(secs=CALM_SECS)
    while left:
        with stage(servers, workers=workers, capacity_secs=CAPACITY_SECS) as made:
            books = Books(made.books)
            bench.normal(made, 0.0)
            while left:
                attack = left.pop(0)
                shares = sum(each.share for each in left) + attack.share + later * sum(each.share for each in mine)
                around = START_SECS * later + AROUND_SECS * (1 + len(left) + later * len(mine))
                fair = (end - time.monotonic() - around) * attack.share / shares
                secs = options.seconds or min(max(fair, SHORTEST_SECS), LONGEST_SECS)
                outcome = attempt(made, bench, books, attack, secs, judge=JUDGES[options.clock])
                yield outcome
                if left and has_fallen(made, outcome):
                    break


def has_fallen(made: Stage, outcome: Outcome) -> bool:
    """Whether what comes next would suffer from what was."""
    return (
        outcome.has_backlog
        or outcome.recovery >= PATIENCE_SECS
        or outcome.rss > outcome.attack.rss_mib * 2**20
        or not made.pids()
    )


def tell(console: Console, outcome: Outcome) -> None:
    """Say a line about it, and one for each trouble."""
    verdict = "held" if not outcome.troubles else "FELL"
    counts = ", ".join(f"{count:,} {what}" for what, count in sorted(outcome.counts.items()))
    console.print(
        f"{verdict}  {outcome.attack.name}, {outcome.workers} workers: "
        f"p99 {1000 * outcome.during:.0f} ms ({outcome.slower:.1f} ×), health {outcome.health:.2f} s, "
        f"{outcome.rss / 2**20:+.0f} MiB, gateway {outcome.cpu:.2f} cores; {counts}",
        style=None if not outcome.troubles else "red",
        highlight=False,
        markup=False,
    )
    for trouble in outcome.troubles:
        console.print(f"      {trouble}", style="red", highlight=False, markup=False)


def table(outcomes: Sequence[Outcome]) -> Table:
    """What became of honest clients: a line for each family, and one for each attack that it did not stand."""
    made = Table(box=None, pad_edge=False)
    made.add_column("attack", no_wrap=True)
    for title in ("p99 ms", "×", "health s", "MiB", "of", "recovery s", "failed", "held"):
        made.add_column(title, justify="right", no_wrap=True)
    for family in dict.fromkeys(outcome.attack.family for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.attack.family == family]
        made.add_row(*_cells(family, mine))
        for outcome in mine:
            if outcome.troubles:
                made.add_row(*_cells(f"  {outcome.attack.name}, {outcome.workers}", [outcome]), style="red")
    made.add_row(*_cells("all", outcomes), style="bold")
    return made


def _cells(name: str, same: Sequence[Outcome]) -> list[str]:
    """The worst of some outcomes."""
    most = max(same, key=lambda outcome: outcome.rss / outcome.attack.rss_mib)
    return [
        name,
        f"{1000 * max(each.during for each in same):.0f}",
        f"{max(each.slower for each in same):.1f}",
        f"{max(each.health for each in same):.2f}",
        f"{most.rss / 2**20:+.0f}",
        str(most.attack.rss_mib),
        f"{max(each.recovery for each in same):.1f}",
        str(sum(each.failed for each in same)),
        f"{sum(not each.troubles for each in same)} of {len(same)}",
    ]


def listing(chosen: Sequence[Attack]) -> Table:
    """Every attack in a line."""
    made = Table(box=None, pad_edge=False)
    for title in ("family", "attack", "by", "what it does"):
        made.add_column(title)
    for attack in chosen:
        made.add_row(attack.family, attack.name, attack.who, attack.does)
    return made


if __name__ == "__main__":
    sys.exit(main())
