"""Events of the newest state, one function each: it counts, and says what a person should know."""

from gateway.telemetry import prometheus
from gateway.telemetry.events import say


def applied(secs: float) -> None:
    """Note the time of one update of the newest state."""
    prometheus.state_apply.observe(secs)


def lost(error: str) -> None:
    """Count and say that the state store failed; nothing durable is lost."""
    prometheus.state_failures.inc()
    say("warning", "state_lost", "State store unavailable; readings are stored, the state lags.", error=error)


def back() -> None:
    """Say that the state store answers again."""
    say("info", "state_back", "State store available again.")


def skipped(rows: int) -> None:
    """Count and say that newest messages were dropped while Redis was away."""
    prometheus.state_skipped_rows.inc(rows)
    say(
        "warning",
        "state_skipped",
        "Newest state dropped while Redis is away; it will be rebuilt.",
        rows=rows,
        goes_on=True,
    )


def complete(complete: bool) -> None:  # noqa: FBT001 - the value of a gauge
    """Set whether the state store is known to hold all newest messages."""
    prometheus.state_complete.set(complete)


def read_from_database(devices: int) -> None:
    """Count devices whose state the database had to tell."""
    prometheus.state_db_reads.inc(devices)


def rebuild_began(series: int, *, lost: bool) -> None:
    """Say that the state is being filled from the database, `lost` if it was complete before.

    A series is a shape of a device.
    """
    if lost:
        say("warning", "state_rebuild", "State is not complete; rebuilding it from the database.", series=series)
    else:
        say("info", "state_rebuild", "Filling the state from the database.", series=series)


def rebuilt(series: int, secs: float, *, complete: bool) -> None:
    """Count and say that a rebuild has ended; not complete: something was lost meanwhile, and it begins anew."""
    prometheus.state_rebuilds[("done" if complete else "repeated",)].inc()
    sentence = "State rebuilt." if complete else "State lost something during its rebuild; beginning anew."
    say("info" if complete else "warning", "state_rebuilt", sentence, series=series, secs=round(secs, 3))


def rebuild_failed(error: str) -> None:
    """Count and say that a rebuild could not go on; it is tried again."""
    prometheus.state_rebuilds[("failed",)].inc()
    say("warning", "state_rebuild_failed", "State cannot be rebuilt now; trying again.", error=error, goes_on=True)


def keeper_failed(exc: BaseException) -> None:
    """Say that keeping the state complete met a mistake of ours; it goes on."""
    say("error", "state_keeper_failed", "Keeping the state complete failed.", exc_info=exc, goes_on=True)


def late() -> None:
    """Count an acknowledgement that went out before the state showed it."""
    prometheus.state_late.inc()


def mended(devices: int) -> None:
    """Count devices that are whole again."""
    if devices:
        prometheus.state_mended.inc(devices)


def mending_failed(exc: BaseException) -> None:
    """Say that mending met a mistake of ours; it goes on."""
    say("error", "state_mending_failed", "Filling devices in the state again failed.", exc_info=exc)


def memory(*, evicts: bool, evicted: int) -> None:
    """Set what Redis does when its memory is full."""
    prometheus.state_evicting.set(evicts)
    prometheus.state_evicted_keys.set(evicted)


def policy_changed(policy: str, *, evicts: bool) -> None:
    """Say what Redis does when its memory is full, where that matters."""
    if evicts:
        sentence = "Redis drops newest state when its memory is full; set maxmemory-policy to noeviction."
        say("warning", "state_evicting", sentence, policy=policy)
    else:
        say("info", "state_not_evicting", "Redis drops no newest state any more.", policy=policy)


def left_out(messages: int) -> None:
    """Count and say that newest messages are not kept in Redis, since their devices would take too much there."""
    if messages:
        prometheus.state_left_out.inc(messages)
        sentence = "Newest values of a device are too large for Redis; the database tells them."
        say("warning", "state_left_out", sentence, messages=messages, limit="redis.device_bytes", goes_on=True)


def answers_gave_way(own: int, others: int) -> None:
    """Count kept answers that gave way to a newer one: of the same credential, and of whoever held most of all."""
    if own:
        prometheus.idempotency_evicted[("http.idempotency_credential_bytes",)].inc(own)
    if others:
        prometheus.idempotency_evicted[("http.idempotency_bytes",)].inc(others)
        sentence = "Kept answers of requests with an Idempotency-Key take all the bytes they may; the oldest go."
        say("warning", "answers_full", sentence, limit="http.idempotency_bytes", goes_on=True)
