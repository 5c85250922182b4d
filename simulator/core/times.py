"""Times as RFC 3339 has them, and as microseconds since 1970. Pure."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(time_us: int) -> str:
    """Return microseconds since 1970 in RFC 3339, to the millisecond."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="milliseconds")


def to_us(ts: object) -> int | None:
    """Return microseconds since 1970 of an RFC 3339 text or a number of milliseconds; None for anything else."""
    if isinstance(ts, int) and not isinstance(ts, bool):
        return ts * 1_000
    if not isinstance(ts, str):
        return None
    try:
        when = datetime.fromisoformat(ts)
    except ValueError:
        return None
    return None if when.tzinfo is None else (when - _EPOCH) // timedelta(microseconds=1)
