"""`python -m tests.fuzz`: any bytes into every target, for so many seconds; what fails is kept in the corpus.

With atheris where it is installed (`pip install atheris`; it looks which lines an input reaches), else with hypothesis.
Exit code 1 if a check failed: its input is then in tests/fuzz/corpus, and `make test` tries it from then on.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import targets  # noqa: F401 - fills the table
from tests.fuzz.target import TARGETS, Target
from tests.fuzz.with_hypothesis import search

EXAMPLES = """examples:
  make fuzz
  make fuzz ARGS="decode heads --seconds 120"
  make fuzz ARGS="doors --seconds 600"          the fast path against the slow one
"""
UNTRACED = ("doors", "settings")
"""Targets with servers or files, which coverage would only slow down: hypothesis for these."""
GRACE_SECS = 60


def main() -> int:
    """Fuzz, and say what failed."""
    options = arguments()
    if options.list:
        for each in TARGETS.values():
            say(f"{each.name:10} {each.about}")
        return 0
    failed = 0
    for name in options.names or TARGETS:
        one = TARGETS[name]
        engine = "hypothesis" if name in UNTRACED else options.engine
        began = time.monotonic()
        path, tries = guided(one, options.seconds) if engine == "atheris" else search(one, options.seconds)
        verdict = f"FAILED: {path}" if path else "held"
        say(f"{name:10} {tries:>9,} inputs in {time.monotonic() - began:.0f} s with {engine}: {verdict}")
        failed += path is not None
    return 1 if failed else 0


def say(line: str) -> None:
    """Say a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"only these: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=20, help="for each target")
    parser.add_argument("--list", action="store_true", help="say which targets there are, and do nothing")
    parser.add_argument("--engine", choices=["atheris", "hypothesis"], help="default: atheris where it is installed")
    options = parser.parse_args()
    for name in options.names:
        if name not in TARGETS:
            parser.error(f"there is no target {name!r}; there are {', '.join(TARGETS)}")
    options.engine = options.engine or ("atheris" if importlib.util.find_spec("atheris") else "hypothesis")
    return options


def guided(one: Target, secs: float) -> tuple[Path | None, int]:
    """Search with atheris, in a process of its own: it ends its process at the first failure."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        grown, found = Path(folder, "grown"), Path(folder, "found")
        grown.mkdir()
        found.mkdir()
        for number, seed in enumerate(one.seeds):
            (grown / f"seed-{number}").write_bytes(seed)
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.with_atheris", one.name, str(grown), str(found), str(int(secs))],
            capture_output=True,
            text=True,
            timeout=secs + GRACE_SECS,
            check=False,
        )
        counted = [line.split()[1] for line in done.stderr.splitlines() if line.startswith(("Done", "stat::number_of"))]
        tries = int(counted[-1]) if counted and counted[-1].isdigit() else 0
        kept = [one.keep(path.read_bytes()) for path in found.iterdir()]
        if done.returncode and not kept:
            raise RuntimeError(f"atheris ended with {done.returncode}:\n{done.stderr[-3_000:]}")
        if kept:
            say(f"{done.stdout[-2_000:]}\n{done.stderr[-1_000:]}")
        return (kept[0] if kept else None), tries


if __name__ == "__main__":
    sys.exit(main())
