"""Events of health: what is not well and what is well again, in the log. Never raises, never waits."""

from gateway.telemetry.events import say


def degraded(worker: str, part: str, what: str, *, kind: str, since: str) -> None:
    """Say that a part of this worker is not well, in an operator's words; `since` is RFC 3339."""
    keys = {"worker": worker, "part": part, "kind": kind, "what": what, "since": since}
    say("warning", "degraded", "Degraded.", apart=part + kind, goes_on=False, **keys)


def well_again(worker: str, part: str, kind: str, *, since: str, secs: float) -> None:
    """Say that it is over, and how long it lasted."""
    keys = {"worker": worker, "part": part, "kind": kind, "since": since}
    say("info", "well_again", "Well again.", apart=part + kind, goes_on=False, **keys, secs=round(secs, 1))


def watch_failed(exc: Exception) -> None:
    """Say that a look at the parts met a mistake of ours; the next one is taken."""
    say("error", "health_watch_failed", "Looking after the parts failed; trying again.", exc_info=exc)
