"""The commands that send no readings: `scenarios`, `schema`, `payloads`, `verify`, `remove`."""

import asyncio
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import uvloop
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from simulator.cli.dump import payloads_of
from simulator.cli.run import write_files
from simulator.plan.options import Aim, Judging, LoadOptions, Target, WhereTo
from simulator.plan.plan import Plan
from simulator.plan.scenario import listed
from simulator.plan.scenario import schema as schema_of
from simulator.report.report import Report
from simulator.report.screen import to_screen
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger_folder import Book
from simulator.send.results import PartResult, WorkerResult
from simulator.send.target import Target as AnyTarget
from simulator.targets.choose import fitted, target_of
from simulator.verify.verdict import reach_verdict
from simulator.watch.notes import recalled
from simulator.watch.summary import tell_parts, tell_verdict

_ASKING, _ASK_S = 8, 30.0


def scenarios() -> int:
    """List the scenarios that come with the simulator, each with a sentence."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for name, scenario in listed():
        size = f"{scenario.devices:,} devices, {scenario.rate:,.0f}/s, {scenario.duration:,.0f} s"
        table.add_row(name, f"{scenario.title} ({size})")
    Console().print(table, highlight=False)
    return 0


def schema() -> int:
    """Print the JSON Schema of a scenario file."""
    print(schema_of().decode())
    return 0


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadOptions:
    """What `simulator payloads` takes beside the scenario."""

    count: int = 20
    """Posts to print of each part."""
    load: LoadOptions = field(default_factory=LoadOptions)
    aim: Aim = field(default_factory=Aim)


def payloads(scenario: str | None = None, /, options: PayloadOptions = PayloadOptions()) -> int:
    """Print the first posts of a run, one a line: transport, topic or address, encoding, and the body.

    The body is Base64 where it is not text, and a line break in it is shown as a backslash and an n. With --seed, --run
    and --start-ms the same scenario prints the same bytes.

    Parameters
    ----------
    scenario
        Name of a scenario, or a TOML file. Without one: numbers at a steady rate.
    """
    plan = options.aim.aimed(options.load.plan(scenario, now_ms=time.time_ns() // 1_000_000))
    target = target_of(plan.target)
    plan = fitted(target, plan)
    for part in plan.parts():
        for line in islice(payloads_of(part, target), options.count):
            print(line)
    return 0


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions(WhereTo):
    """What `simulator verify` takes beside the ledger."""

    verdict: Judging = field(default_factory=Judging)


def verify(ledger: Path, /, options: VerifyOptions = VerifyOptions()) -> int:
    """Hold the ledger of a run, ended or killed, against what is stored now and against the states.

    What the run saw become visible, in the state and in the live stream, is told as far as it was noted.

    Exit codes: 0 all is well; 1 something was lost, doubled, altered or wrongly shown; 2 it could not be found out.

    Parameters
    ----------
    ledger
        The folder that was given to simulator run with --ledger.
    """
    report = uvloop.run(_verify(ledger, options))
    Console().print(to_screen(report), highlight=False)
    write_files(report, options.verdict)
    return report.exit_code


def remove(ledger: Path, /, options: WhereTo = WhereTo()) -> int:  # noqa: B008 - frozen
    """Remove the devices of a run that kept its ledger, with all their readings.

    Exit codes: 0 they are gone; 1 some could not be removed; 2 it could not be run as asked.

    Parameters
    ----------
    ledger
        The folder that was given to simulator run with --ledger.
    """
    notes = uvloop.run(_remove(ledger, options))
    for note in notes:
        print(note)
    return 1 if notes else 0


async def _remove(folder: Path, options: WhereTo) -> list[str]:
    book = await asyncio.to_thread(Book.open, folder)
    plan = options.aim.aimed(book.plan)
    target = target_of(plan.target)
    async with _open_client(options.target, target, plan) as client:
        registry = target.registry(client, plan, is_begun=True)
        await registry.withdraw()
    return registry.notes


def _open_client(known: Target, target: AnyTarget, plan: Plan) -> HttpClient:
    key = known.key(kind=plan.target.kind)
    return HttpClient(known.url, key=key, connections=_ASKING, timeout=_ASK_S, authorize=target.authorization)


async def _verify(folder: Path, options: VerifyOptions) -> Report:
    book = await asyncio.to_thread(Book.open, folder)
    plan = options.aim.aimed(book.plan)
    target, parts = target_of(plan.target), plan.parts()
    ledgers = [book.read(part) for part in parts]
    results = [PartResult.of_ledger(part, ledger) for part, ledger in zip(parts, ledgers, strict=True)]
    found, told = recalled(book.watched(), book.plan, ledgers, book.began())
    tell_parts(dict(enumerate(results)), found, told)
    async with _open_client(options.target, target, plan) as client:
        verdict = await reach_verdict(plan, ledgers, client, target=target, judging=options.verdict)
    tell_verdict(verdict, found, told)
    return Report(plan, [WorkerResult(parts=results)], verdict=verdict, watch=told)
