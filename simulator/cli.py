"""The `simulator` command: arguments in, exit code out. Each command's code is imported when it is asked for.

Exit codes: 0 all is well; 1 a reading was lost, doubled, altered or wrongly shown; 2 it could not be run as asked.
"""

import sys

from cyclopts import App
from rich.console import Console

from simulator.errors import SimulatorError

app = App(
    name="simulator",
    help="Send readings to a device ingestion gateway, and prove what became of each.",
    result_action="return_value",
    version_flags=(),
)
app.command(
    "simulator.command:run",
    name="run",
    help_epilogue="Examples:\n\n"
    "    simulator run --devices 1000 --rate 20000 --transport mixed --seconds 20\n\n"
    "    simulator run --rate 150000 --batch 1000 --transport http --no-verify\n\n"
    "    simulator run --database postgresql://localhost/gateway --json out.json",
)
app.command("simulator.demo:demo", name="demo")
app.command("simulator.bench.command:bench", name="bench")


def main() -> None:
    """Run the command line and exit."""
    try:
        sys.exit(app())
    except SimulatorError as error:
        Console(stderr=True).print(str(error), style="bold red", highlight=False, markup=False)
        sys.exit(2)
