"""Microseconds since 1970 UTC, which is what time is everywhere here → what others take, and back. Pure and exact."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: it is only printed, with a Z
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(time_us: int) -> datetime:
    """Microseconds since 1970 UTC → aware datetime."""
    return EPOCH + timedelta(microseconds=time_us)


def to_us(moment: datetime) -> int:
    """Aware datetime → microseconds since 1970 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def parse_moment(text: str) -> datetime | None:
    """RFC 3339 text with a zone → aware datetime; None for anything else."""
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return moment if moment.tzinfo else None


@lru_cache(maxsize=4096)
def to_rfc3339(time_us: int) -> str:
    """`1_732_277_000_123_000` → `2024-11-22T12:03:20.123000Z`; cached, since devices often say the same time."""
    return (_NAIVE_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds") + "Z"
