"""The command `simulator bench`: options in, exit code out. Tells how it goes on stderr, the tables go to stdout."""

import shlex
import sys

import uvloop
from rich.console import Console

from simulator.cli.terminal import stop_on_signals, write
from simulator.core.addresses import masked
from simulator.measure.bench.bench import Bench, BenchOptions
from simulator.measure.bench.report import BenchReport
from simulator.measure.bench.results import Results

_WIDTH = 100
_TITLE = "# Performance\n"
_SECRET = ("--database", "--redis", "--mqtt")


def bench(options: BenchOptions = BenchOptions()) -> int:  # noqa: B008 - frozen
    """Measure how fast a gateway is, and what that costs, beside the raw COPY rate of the same rows.

    Each connection sends its next request when the last one is answered (a closed loop): that measures capacity. Run it
    on the gateway's machine, with nothing else on that gateway, and let unknown devices in. Its devices stay behind.
    Ctrl-C ends it early, with what was measured so far; a second one ends at once.

    Exit codes: 0 all was measured; 1 something was acknowledged and not stored; 2 it could not be run as asked.
    """
    report = BenchReport(uvloop.run(_run(options)))
    Console(width=_WIDTH).print(report.to_screen(), highlight=False, markup=False)
    output = options.output
    if output.json is not None:
        write(output.json, report.to_json())
    if output.append is not None:
        before = output.append.read_text() if output.append.exists() else _TITLE
        write(output.append, f"{before.rstrip()}\n\n{report.to_markdown()}".encode())
    return report.exit_code


async def _run(options: BenchOptions) -> Results:
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False, markup=False)

    one = Bench(options, command=shown_command(sys.argv[1:]), say=say)
    stop_on_signals(one.stop, console)
    return await one.run()


def shown_command(arguments: list[str]) -> str:
    """Return the command as it may be shown: without addresses that hold passwords."""
    shown = ["simulator"]
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, _ = argument.partition("=")
        if before in _SECRET:
            shown.append("…")
        else:
            shown.append(f"{name}=…" if equals and name in _SECRET else shlex.quote(masked(argument)))
    return " ".join(shown)
