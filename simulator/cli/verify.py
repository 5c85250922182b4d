"""The commands for the ledger that a run has kept: `verify` and `remove`."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from cyclopts import Parameter
from rich.console import Console

from simulator.cli.run import write_files
from simulator.plan.options import Judging, WhereTo
from simulator.plan.plan import Plan
from simulator.report.report import Report
from simulator.report.screen import to_screen
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger_folder import LedgerFolder
from simulator.send.results import PartResult, WorkerResult
from simulator.send.target import Target as AnyTarget
from simulator.targets.choose import target_of
from simulator.verify.verdict import reach_verdict
from simulator.watch.notes import recalled
from simulator.watch.summary import tell_parts, tell_verdict


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
    files = await asyncio.to_thread(LedgerFolder.open, folder)
    plan = options.aim.aimed(files.plan)
    target = target_of(plan.target)
    async with _client(options, target, plan) as client:
        registry = target.registry(client, plan, is_begun=True)
        await registry.withdraw()
    return registry.notes


async def _verify(folder: Path, options: VerifyOptions) -> Report:
    files = await asyncio.to_thread(LedgerFolder.open, folder)
    plan = options.aim.aimed(files.plan)
    target, parts = target_of(plan.target), plan.parts()
    ledgers = [files.read(part) for part in parts]
    results = [PartResult.of_ledger(part, ledger) for part, ledger in zip(parts, ledgers, strict=True)]
    found, told = recalled(files.watched(), files.plan, ledgers, files.began())
    tell_parts(dict(enumerate(results)), found, told)
    async with _client(options, target, plan) as client:
        verdict = await reach_verdict(plan, ledgers, client, target=target, judging=options.verdict)
    tell_verdict(verdict, found, told)
    return Report(plan, [WorkerResult(parts=results)], verdict=verdict, watch=told)


def _client(options: WhereTo, target: AnyTarget, plan: Plan) -> HttpClient:
    return target.client(options.target.url, options.target.key(kind=plan.target.kind))
