"""Events of rate limits, one function each, as in `events`: it counts, and says what a person should know."""

from gateway.telemetry import events, prometheus
from gateway.telemetry.sanitize import shown


def refused(limit: str, scope: str) -> None:
    """Count and say that a request was refused; `limit` is the setting, `scope` is credential or address."""
    prometheus.rate_limited[(limit, "refused")].inc()
    events.say(
        "warning",
        "rate_limited",
        "Refusing requests over a limit.",
        limit=limit,
        scope=scope,
        apart=limit,
        goes_on=True,
    )


def share_refused(limit: str) -> None:
    """Count and say that a credential was refused what it has as many of as it may; `limit` is the setting."""
    prometheus.shares_refused[(limit,)].inc()
    events.say(
        "warning",
        "share_refused",
        "Refusing credentials over their share.",
        limit=limit,
        apart=limit,
        goes_on=True,
    )


def seats_lowered(wanted: int, seats: int) -> None:
    """Say that fewer connections are let in than `wanted`, as the system allows too few open files."""
    events.say(
        "warning",
        "connections_lowered",
        "The limit of open files (ulimit -Hn, LimitNOFILE=) leaves fewer connections than http.max_connections.",
        wanted=wanted,
        connections=seats,
    )


def slowed(limit: str, device: str) -> None:
    """Count and say that an MQTT message waits because its device is over its limit."""
    prometheus.rate_limited[(limit, "slowed")].inc()
    events.say(
        "warning",
        "mqtt_slowed",
        "MQTT messages wait: over a limit.",
        limit=limit,
        device=shown(device),
        apart=limit,
        goes_on=True,
    )


def backfilled(limit: str) -> None:
    """Count an MQTT message over a limit that could not be made to wait, or not any longer."""
    prometheus.rate_limited[(limit, "backfill")].inc()
