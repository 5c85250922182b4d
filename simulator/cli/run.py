"""The command `simulator run`: options in, exit code out. Prints the live line to stderr and the report to stdout."""

import time

import uvloop
from rich.console import Console

from simulator.cli.terminal import stop_on_signals, write
from simulator.measure.run import ScenarioRun
from simulator.plan.options import Judging, RunOptions
from simulator.report.checks import to_junit
from simulator.report.page import to_html
from simulator.report.report import Report
from simulator.report.screen import to_screen
from simulator.send.progress import Watcher


def run(scenario: str | None = None, /, options: RunOptions = RunOptions()) -> int:  # noqa: B008 - frozen
    """Offer a load, then verify that every acknowledged reading is stored exactly once, and every refusal right.

    The schedule does not wait for answers (an open loop), and latency counts from the time at which a reading should
    have been sent. Ctrl-C stops sending and goes on to the verdict on what was sent, which is not the whole run: no
    requirement is met by it. A second one ends at once.

    Exit codes, the first that applies: 1 something was lost, doubled, altered, wrongly shown, left out by the live
    stream or wrongly answered; 2 it could not be run, or verified, as asked; 99 a requirement was not met; 0 all is
    well.

    Parameters
    ----------
    scenario
        Name of a scenario (see simulator scenarios), or a TOML file; the options change it. Without one: numbers at a
        steady rate.
    """
    report = uvloop.run(_run(scenario, options))
    Console().print(to_screen(report), highlight=False)
    write_files(report, options.verdict)
    if options.verdict.html is not None:
        write(options.verdict.html, to_html(report))
    return report.exit_code


def write_files(report: Report, judging: Judging) -> None:
    """Write the report to the files that were asked for. Raises UsageError."""
    if judging.json is not None:
        write(judging.json, report.to_json())
    if judging.junit is not None:
        write(judging.junit, to_junit(report))


async def _run(scenario: str | None, options: RunOptions) -> Report:
    console = Console(stderr=True)
    run = ScenarioRun(options, options.plan(scenario, now_ms=time.time_ns() // 1_000_000))

    stop_on_signals(run.stop, console)

    def verifying() -> None:
        if options.verdict.source != "none":
            console.print("sent; verifying", style="dim")

    return await run.execute(Watcher(console, clock=time.monotonic).watch, on_sent=verifying)
