"""The command `simulator capacity`: options in, exit code out. Trials are told on stderr, the result on stdout."""

import time
from dataclasses import asdict

import orjson
import uvloop
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.cli.terminal import stop_on_signals, write
from simulator.measure.capacity.options import CapacityOptions
from simulator.measure.capacity.search import GENERATOR, Capacity, Trial, Trials
from simulator.send.progress import Watcher


def capacity(scenario: str | None = None, /, options: CapacityOptions = CapacityOptions()) -> int:  # noqa: B008 - frozen
    """Look for the highest rate that a gateway holds, and tell what broke first beyond it.

    Offers a rate for --hold seconds, twice as much next, until a limit breaks: the p99 of the latency, failed attempts,
    readings given up, or lost with --database. Then goes to the middle, until --precision is reached. Over MQTT the
    answer comes from the broker: give --database, else it is the broker that is measured. Ctrl-C ends it early.

    Each rate is a run of its own, with devices that are registered first and removed in the end.

    What a target other than a gateway has stored is read back after each rate, if there is a way to, unless you say
    --no-verify; without that the result says "not verified".

    Exit codes: 0 it was found; 1 not even the lowest rate was held; 2 it could not be run as asked, or not be told: the
    generator itself was the bottleneck, or it was stopped.

    Parameters
    ----------
    scenario
        Name of a scenario, or a TOML file: its devices and faults, at a steady rate. Without one: numbers.
    """
    found = uvloop.run(_look(scenario, options))
    console = Console()
    if found.trials:
        console.print(_table(found), highlight=False)
    for line in told(found, hold=options.search.hold):
        console.print(line)
    if options.search.json is not None:
        write(options.search.json, to_json(found))
    return found.exit_code


def told(found: Capacity, *, hold: float) -> list[Text]:
    """Return the result in sentences."""
    held, broke = found.held, found.broke
    lines = []
    if held is None:
        lines.append(Text("no rate was held", style="bold red"))
    else:
        least = "" if broke and broke.first != GENERATOR else "at least "
        style, open_end = ("bold yellow", ", not verified") if held.unverified else ("bold green", "")
        lines.append(Text(f"held for {hold:g} s: {least}{held.rate:,.0f} readings/s{open_end}", style=style))
    if found.unverified:
        lines.append(Text(f"· nobody looked for what was acknowledged: {found.unverified}", style="yellow"))
    if broke is not None:
        lines.append(Text(f"at {broke.rate:,.0f} readings/s broke first: {broke.first}", style="bold"))
        if broke.first == GENERATOR:
            lines.append(Text(f"· {broke.held_back}", style="yellow"))
    elif held is not None and not found.ended:
        lines.append(Text("· more was not tried: see --most, and --devices", style="yellow"))
    if found.ended:
        lines.append(Text(f"· ended early: {found.ended}", style="yellow"))
    return lines


def to_json(found: Capacity) -> bytes:
    """Return the result for programs."""
    told_of = {
        "held": found.held.rate if found.held else None,
        "broke": found.broke.rate if found.broke else None,
        "broke_first": found.broke.first if found.broke else "",
        "ended": found.ended,
        "verified": found.held is not None and not found.unverified,
        "unverified": found.unverified and f"not verified: {found.unverified}",
        "exit_code": found.exit_code,
        "trials": [asdict(trial) for trial in found.trials],
    }
    return orjson.dumps(told_of, option=orjson.OPT_INDENT_2)


def _table(found: Capacity) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("offered/s", "acknowledged/s", "p99, ms", "failed, %"):
        table.add_column(column, justify="right")
    table.add_column("broke first")
    for trial in sorted(found.trials, key=lambda trial: trial.rate):
        cells = (f"{trial.rate:,.0f}", f"{trial.acknowledged:,.0f}", f"{trial.p99:,.1f}", f"{trial.errors:.3g}")
        table.add_row(*cells, trial.first, style=None if trial.is_held else "red")
    return table


async def _look(scenario: str | None, options: CapacityOptions) -> Capacity:
    console = Console(stderr=True)

    def say(trial: Trial) -> None:
        end = "held" if trial.is_held else f"broke: {trial.first}"
        console.print(f"{trial.rate:,.0f}/s {end}", highlight=False, markup=False)

    trials = Trials(scenario, options, watch=Watcher(console, clock=time.monotonic).watch, say=say)

    stop_on_signals(trials.stop, console)
    return await trials.look()
