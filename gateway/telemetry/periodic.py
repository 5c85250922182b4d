"""Periodic jobs, for rooms that may log: what had failed and works again is said for all of them."""

from functools import partial

from gateway.core import periodic
from gateway.telemetry.events import say


def recovered(job: str, *, failures: int, secs: float) -> None:
    """Say that a job that had failed is done again: how often it had failed, and for how long."""
    sentence = "Works again."
    say("info", "chore_recovered", sentence, chore=job, failures=failures, secs=round(secs, 1), apart=job)


repeating = partial(periodic.repeating, on_recovery=recovered)
"""`core.periodic.repeating` without its last argument."""
