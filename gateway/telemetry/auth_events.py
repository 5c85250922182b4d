"""Events of credentials in use, one function each, as in `events`: it counts, and says what a person should know."""

from gateway.telemetry import events, prometheus


def ended(why: str, count: int) -> None:
    """Count what was open and ended for its credential: `unauthorized`, or `unverified` for too long."""
    prometheus.credentials_ended[(why,)].inc(count)
    if why == "unverified":
        events.say(
            "warning",
            "credentials_unverified",
            "Streams and exports end: changes of credentials could not be heard for longer than auth.grace_secs.",
            goes_on=True,
        )


def held_back() -> None:
    """Count a refusal that was held back because there are many; `gateway_http_problems_total` counts all."""
    prometheus.refusals_held_back.inc()


def failed(exc: BaseException) -> None:
    """Say that looking at credentials in use met a mistake of ours; it goes on."""
    events.say("error", "credential_watch_failed", "Looking at credentials in use failed.", exc_info=exc, goes_on=True)
