"""Events of retention, one function each, as in `events`: it counts, and says what a person should know."""

from gateway.core.errors import GatewayError
from gateway.telemetry import prometheus
from gateway.telemetry.events import say


def chunks_dropped(count: int) -> None:
    """Count and say that whole chunks went for their age."""
    prometheus.chunks_dropped.inc(count)
    say("info", "chunks_dropped", "Dropped chunks older than retention.days.", chunks=count)


def messages_removed(count: int) -> None:
    """Count and say that messages went for their age."""
    prometheus.messages_removed.inc(count)
    say("info", "messages_removed", "Removed messages older than retention.days.", messages=count)


def failed(exc: Exception) -> None:
    """Say that old readings could not be removed; what cannot be explained comes with its traceback."""
    if isinstance(exc, GatewayError):
        say("warning", "retention_failed", "Cannot remove old readings; trying again.", error=exc.message)
    else:
        say("error", "retention_failed", "Removing old readings failed; trying again.", exc_info=exc)
