"""A search with hypothesis: inputs of a target until time is over, or one fails and is made as small as it goes."""

import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import Target

ROUND = 400
"""Inputs between two looks at the clock."""


def search(target: Target, secs: float) -> tuple[Path | None, int]:
    """Return where the input lies that failed, if one did, and how many were tried."""
    end, tries, failing = time.monotonic() + secs, 0, b""

    def check(data: bytes) -> None:
        nonlocal tries, failing
        tries += 1
        try:
            target.check(data)
        except Exception:
            failing = data  # the last one is the smallest
            raise

    for path in target.corpus():
        check(path.read_bytes())
    for number in _rounds(end):
        tried = settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        try:
            seed(number)(tried(given(target.inputs())(check)))()
        except Exception:  # noqa: BLE001 - whatever a check raises is what is looked for
            traceback.print_exc()
            return target.keep(failing), tries
    return None, tries


def _rounds(end: float) -> Iterator[int]:
    number = time.time_ns()
    while time.monotonic() < end:
        number += 1
        yield number
