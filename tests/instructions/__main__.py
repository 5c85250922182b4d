"""`python -m tests.instructions`: counts what a request costs the gateway, and says whether and why it is dearer.

Each workload runs in process, over transports and servers that only answer (worker.py), twice: under callgrind for
instructions, and beside it for the bytecodes of each Python function. The figures are compared with those stored in
`ceilings.json`, from this interpreter or from others (budget.py says how). Counts do not depend on how busy the machine
is; two runs differ by less than 0.3 %. The loop is asyncio's, whose time can be held: on uvloop they would be lower.

Exit codes: 0 nothing is dearer; 1 something is; 2 it cannot be run; 3 nothing is dearer as far as can be told without
valgrind, which is missing (apt-get install valgrind).

    make instructions                              all workloads, 30 s
    make instructions ARGS="W1 state"              two of them
    make instructions ARGS="W1 --diff"             and what each function does more or less than was stored
    make instructions ARGS="--update"              store what is measured, for reasons that the commit gives
    python -m tests.instructions --update          with the interpreter that runs it: each build has figures of its own
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from simulator.measure.bench.interpreter import describe_python
from tests.instructions import budget, callgrind
from tests.instructions.budget import Build, Ceilings, Cost, Measured, Verdict, Work
from tests.instructions.loads import LOADS

TIMEOUT_SECS = 600
KEPT_LIBRARY = 0.005
"""Share of a workload from which on a file of compiled code is told."""
DEAREST = 20
"""C functions that are told."""
DEARER, IMPOSSIBLE, UNCOUNTED = 1, 2, 3
YARDSTICK = "yardstick"
CPU_INFO = Path("/proc/cpuinfo")
UPDATE = 'make instructions ARGS="--update"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
            measured = measure(options.workloads, Path(folder), plant=options.plant)
    except subprocess.SubprocessError as error:
        sys.stderr.write(f"the program that is counted failed: {error}\n")
        return IMPOSSIBLE
    stored = budget.load(budget.PLACE) if budget.PLACE.exists() else Ceilings({}, {})
    verdicts = budget.compare(stored, measured)
    sys.stdout.write(f"{measured.name}\n" + "".join(map(line, verdicts)))
    if options.diff:
        sys.stdout.write("".join(told(stored, measured)))
    if options.update:
        budget.save(budget.updated(stored, measured), budget.PLACE)
        return 0
    return code(verdicts, measured)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; every name of a workload is one."""
    told = "".join(f"\n    {load.name:8}{load.title}, {load.at_once} at once" for load in LOADS.values())
    parser = argparse.ArgumentParser(
        prog="python -m tests.instructions",
        description=f"{__doc__}\nWorkloads:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", choices=[*LOADS, []], metavar="WORKLOAD", help="default: all")
    parser.add_argument("--update", action="store_true", help="store the figures of this interpreter")
    parser.add_argument("--diff", action="store_true", help="tell what each function does more or less than was stored")
    parser.add_argument("--plant", default="", metavar="MODULE", help="import this before the run (for tests)")
    options = parser.parse_args(arguments)
    options.workloads = options.workloads or list(LOADS)
    return options


def measure(names: Sequence[str], folder: Path, *, plant: str = "") -> Measured:
    """Return what a request of each workload costs. Raises SubprocessError."""
    with ThreadPoolExecutor(2) as both:  # on two cores the one beside the other
        building = both.submit(count, names, folder, plant) if callgrind.is_here() else None
        works = trace(names, folder, plant)
        build = None if building is None else building.result()
    return Measured(build_name(), ".".join(platform.python_version_tuple()[:2]), build, works)


def count(names: Sequence[str], folder: Path, plant: str) -> Build:
    """Count instructions. Raises SubprocessError."""
    place = folder / "count"
    place.mkdir()
    sections = callgrind.counted(command("count", place, names, plant), place, environment(place), timeout=TIMEOUT_SECS)
    found = {section.name: section for section in sections}
    costs = {name: to_cost(found[name], LOADS[name].requests) for name in names}
    return Build(found[YARDSTICK].total, costs)


def to_cost(section: callgrind.Section, requests: int) -> Cost:
    """Return what one of so many requests costs."""
    least = section.total * KEPT_LIBRARY
    libraries = {name: round(count / requests) for name, count in section.libraries.items() if count >= least}
    dearest = [(name, count) for name, count in section.functions.most_common(DEAREST) if not name.startswith("0x")]
    functions = {name: round(count / requests) for name, count in dearest}
    return Cost(round(section.total / requests), libraries, functions)


def trace(names: Sequence[str], folder: Path, plant: str) -> dict[str, Work]:
    """Count bytecodes and calls. Raises SubprocessError."""
    place = folder / "trace"
    place.mkdir()
    whole, env = command("trace", place, names, plant), environment(place)
    subprocess.run(whole, env=env, stdout=subprocess.DEVNULL, check=True, timeout=TIMEOUT_SECS)
    works = {}
    for name in names:
        found = json.loads((place / f"{name}.json").read_text())
        works[name] = budget.to_work(Counter(found["opcodes"]), Counter(found["calls"]), LOADS[name].requests)
    return works


def command(mode: str, place: Path, names: Sequence[str], plant: str) -> list[str]:
    """Return what is counted."""
    return [sys.executable, "-m", "tests.instructions.run", mode, str(place), plant, *names]


def environment(place: Path) -> dict[str, str]:
    """Return its environment: hashes always the same, metrics in files as in a worker, nothing that turns them off."""
    (metrics := place / "metrics").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "COV_", "PYTEST_"))}
    return {**kept, "PYTHONHASHSEED": "0", "PROMETHEUS_MULTIPROC_DIR": str(metrics)}


def build_name() -> str:
    """Return what tells this build of the interpreter from others, as far as it is known."""
    wide = " with AVX2" if "avx2" in CPU_INFO.read_text() else ""  # numpy and libc choose their code by it
    return f"{describe_python()}, {platform.machine()}{wide}, {' '.join(platform.libc_ver())}"


def line(verdict: Verdict) -> str:
    """Return what is told of a workload."""
    head = f"{verdict.workload:8}{'DEARER: ' if verdict.is_dearer else ''}{verdict.figure}\n"
    return head + "".join(f"{'':10}{one}\n" for one in verdict.grown)


def told(stored: Ceilings, measured: Measured) -> Iterator[str]:
    """Yield what each function does more or less than was stored."""
    for name, now in measured.works.items():
        before = stored.versions.get(measured.version, {}).get(name, Work(0, 0, {}, {}))
        yield f"\n{name}: {now.opcodes:,.0f} bytecodes and {now.calls:,.0f} calls of C functions a request\n"
        for old, new in ((before.functions, now.functions), (before.called, now.called)):
            for place in sorted(new.keys() | old.keys(), key=lambda place: -new.get(place, 0)):
                change = new.get(place, 0) - old.get(place, 0)
                yield f"  {new.get(place, 0):10,.1f} {change:+10,.1f}  {place}\n"


def code(verdicts: Sequence[Verdict], measured: Measured) -> int:
    """Return the exit code, and say what follows from it."""
    if any(verdict.is_dearer for verdict in verdicts):
        sys.stdout.write(f"Make it cheaper, or say in the commit why it must be so, and run: {UPDATE}\n")
        return DEARER
    if any(verdict.is_cheaper for verdict in verdicts):
        sys.stdout.write(f"Some of it is cheaper; to hold that, run: {UPDATE}\n")
    if measured.build is None:
        sys.stdout.write("Instructions are not counted: that takes valgrind, and x86-64 (apt-get install valgrind).\n")
        return UNCOUNTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
