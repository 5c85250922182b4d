"""Events of streams of stored readings. Like events.py: counts, says, never raises, never waits."""

from gateway.telemetry import prometheus
from gateway.telemetry.events import say


def stream_ended(outcome: str) -> None:
    """Count a stream: complete, gone (its reader left, or this gateway stops) or broken_off (it could not go on)."""
    prometheus.history_streams[(outcome,)].inc()


def stream_broken_off(route: str, request_id: str, reason: str) -> None:
    """Say why a stream could not go on; its reader sees a connection that breaks off."""
    sentence = "A stream of history was broken off."
    say("warning", "stream_broken_off", sentence, route=route, request_id=request_id, reason=reason)
