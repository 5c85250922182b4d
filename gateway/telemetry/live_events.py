"""Events of the stream of changes, one function each, as in `events`: it counts, and says what matters."""

from gateway.telemetry import events, prometheus


def streams(count: int) -> None:
    """Set how many streams are open in this worker."""
    prometheus.live_streams.set(count)


def published(queues: int) -> None:
    """Count the queues that an event was put into."""
    if queues:
        prometheus.live_events.inc(queues)


def lagged(skipped: int) -> None:
    """Count values that a slow reader does not see."""
    prometheus.live_skipped.inc(skipped)


def reset(reason: str) -> None:
    """Count a stream that begins from all newest values."""
    prometheus.live_resets[(reason,)].inc()


def ended(reason: str) -> None:
    """Count a stream that we ended: stalled, silent, unauthorized, unverified, draining or unavailable."""
    prometheus.live_ended[(reason,)].inc()


def refused(limit: str) -> None:
    """Count and say that somebody was refused a stream, by what is full."""
    prometheus.live_refused[(limit,)].inc()
    events.say("warning", "live_refused", "Refusing streams of changes.", limit=limit, apart=limit, goes_on=True)


def lost() -> None:
    """Count and say that the log of changes has a gap: every stream of this worker begins anew."""
    prometheus.live_gaps.inc()
    events.say("warning", "live_gap", "The log of changes has a gap; all streams begin anew.", goes_on=True)


def away(error: str) -> None:
    """Say that the log of changes cannot be read; call it once until `back`."""
    events.say("warning", "live_away", "The log of changes cannot be read; streams wait.", error=error)


def back() -> None:
    """Say that the log of changes can be read again."""
    events.say("info", "live_back", "The log of changes can be read again.")


def failed(exc: BaseException) -> None:
    """Say that a stream or the reading of the log met a mistake of ours; it goes on, or its reader comes back."""
    events.say("error", "live_failed", "Serving the stream of changes failed.", exc_info=exc, goes_on=True)
