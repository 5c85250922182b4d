"""The command `simulator run`: options in, exit code out. Prints the live line to stderr and the report to stdout."""

import asyncio
import signal
import time

import uvloop
from rich.console import Console

from simulator.errors import UsageError
from simulator.live import Watcher
from simulator.options import RunOptions
from simulator.report import Report
from simulator.run import Run


def run(options: RunOptions = RunOptions()) -> int:  # noqa: B008 - frozen
    """Offer a load at a steady rate, then verify that every acknowledged reading is stored exactly once.

    The schedule does not wait for answers (an open loop), and latency counts from the time at which a reading should
    have been sent. Ctrl-C stops sending and goes on to the verdict; a second one ends at once.

    Exit codes: 0 all is well; 1 something was lost, doubled, altered or wrongly shown; 2 it could not be run as asked.
    """
    report = uvloop.run(_run(options))
    Console().print(report.to_screen(), highlight=False)
    if options.verdict.json is not None:
        try:
            options.verdict.json.write_bytes(report.to_json())
        except OSError as error:
            raise UsageError(f"The report cannot be written to {options.verdict.json}: {error}.") from error
    return report.exit_code


async def _run(options: RunOptions) -> Report:
    console = Console(stderr=True)
    run = Run(options, options.load.scenario(now_ms=time.time_ns() // 1_000_000))
    _stop_on_signals(run, console)

    def verifying() -> None:
        if options.verdict.verify:
            console.print("sent; verifying", style="dim")

    return await run.execute(Watcher(console, clock=time.monotonic).watch, on_sent=verifying)


def _stop_on_signals(run: Run, console: Console) -> None:
    """Let the first signal stop the sending; the next one has its usual effect."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        console.print("stopping; once more to end at once", style="yellow")
        run.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
