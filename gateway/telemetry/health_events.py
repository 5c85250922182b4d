"""What is not well and what is well again, in the log. Like events.py: says, never raises, never waits."""

from gateway.telemetry.events import say


def degraded(part: str, kind: str, what: str, *, since: str) -> None:
    """Say that a part of this worker is not well, in an operator's words; `since` is RFC 3339."""
    say("warning", "degraded", "Degraded.", part=part, what=what, since=since, apart=f"{part}.{kind}")


def well_again(part: str, kind: str, *, since: str, secs: float) -> None:
    """Say that it is over, and how long it lasted."""
    say("info", "well_again", "Well again.", part=part, kind=kind, since=since, secs=round(secs, 1), apart=part + kind)


def watch_failed(exc: Exception) -> None:
    """Say that a look at the parts met a mistake of ours; the next one is taken."""
    say("error", "health_watch_failed", "Looking after the parts failed; trying again.", exc_info=exc)
