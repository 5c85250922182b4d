"""The `simulator` command: arguments in, exit code out. Each command's code is imported when it is asked for.

Exit codes: 0 all is well; 1 a reading was lost, doubled, altered or wrongly shown, or an answer was wrong; 2 it could
not be run as asked; 99 all was well, and a requirement of `--require` was not met.
"""

import os
import sys

from cyclopts import App, CycloptsError, CycloptsPanel
from rich.console import Console

from simulator.core.addresses import masked_within
from simulator.core.errors import SimulatorError


def _complaint(error: CycloptsError) -> object:
    """Return what is wrong with the options, without the passwords of addresses among them."""
    return CycloptsPanel(masked_within(str(error)))


app = App(
    name="simulator",
    error_formatter=_complaint,
    help="Send readings to a device ingestion gateway, and prove what became of each.",
    result_action="return_value",
    version_flags=(),
)
app.command(
    "simulator.cli.run:run",
    name="run",
    help_epilogue="Examples:\n\n"
    "    simulator run smoke\n\n"
    "    simulator run smart-city-10k --rate 50000 --workers 2 --ledger city.ledger\n\n"
    "    simulator run --devices 1000 --rate 20000 --transport mixed --seconds 20\n\n"
    "    simulator run --rate 150000 --batch 1000 --transport http --no-verify\n\n"
    "    simulator run --database postgresql://localhost/gateway --json out.json\n\n"
    '    simulator run smoke --require "p99_ack<200ms,lost=0,errors<0.1%"',
)
app.command(
    "simulator.cli.capacity:capacity",
    name="capacity",
    help_epilogue="Examples:\n\n"
    "    simulator capacity\n\n"
    "    simulator capacity smart-city-10k --p99 500 --workers 2\n\n"
    "    simulator capacity --transport http --batch 1000 --first 20000 --hold 60 --json capacity.json",
)
app.command(
    "simulator.cli.compare:compare",
    name="compare",
    help_epilogue="Examples:\n\n"
    "    simulator compare before.json after.json\n\n"
    "    simulator compare before.json after.json --tolerance 5%",
)
app.command("simulator.cli.scenarios:scenarios", name="scenarios")
app.command("simulator.cli.scenarios:schema", name="schema")
app.command("simulator.cli.scenarios:payloads", name="payloads")
app.command("simulator.cli.verify:verify", name="verify")
app.command("simulator.cli.verify:remove", name="remove")
app.command("simulator.cli.demo:demo", name="demo")
app.command("simulator.cli.bench:bench", name="bench")


def main() -> None:
    """Run the command line and exit."""
    if not {*sys.argv[1:]} - {*app.help_flags}:
        for name in app:
            app[name]  # what is not imported yet has no description
    try:
        sys.exit(app(sys.argv[1:]))
    except SimulatorError as error:
        Console(stderr=True).print(str(error), style="bold red", highlight=False, markup=False)
        sys.exit(2)
    except BrokenPipeError:  # whoever read what we print has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
