"""Timestamps: microseconds since 1970 UTC, as time is everywhere here, ↔ datetimes and RFC 3339. Pure and exact."""

import re
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache

import msgspec

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_US = 253_402_300_799_999_999
"""9999-12-31, the last moment a datetime can say."""
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: it is only printed, with a Z
_MICROSECOND = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_LEAP = re.compile(r"(.{17})60(\.[0-9]+)?([Zz]|[+-].{4,5})", re.ASCII)
_DATE = len("2026-01-31T")


def to_datetime(time_us: int) -> datetime:
    """Microseconds since 1970 UTC → aware datetime."""
    return EPOCH + timedelta(microseconds=time_us)


def to_us(moment: datetime) -> int:
    """Aware datetime → microseconds since 1970 UTC."""
    return (moment - EPOCH) // _MICROSECOND


def read_moment(text: str) -> datetime:
    """RFC 3339 text → datetime, without a zone if it names none. A leap second is the first second of the day after it.

    Raises ValueError for anything else.
    """
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        leap = _LEAP.fullmatch(text)
        if leap is None:
            raise
    start, fraction, zone = leap[1], leap[2] or "", leap[3]
    try:
        if _ends_a_day(msgspec.convert(f"{start}59{zone}", datetime)):
            return msgspec.convert(f"{start}59{fraction}{zone}", datetime) + _SECOND
    except OverflowError:  # the last day that there is
        pass
    raise ValueError("no leap second can be there")


def _ends_a_day(moment: datetime) -> bool:
    """Whether a leap second may follow: only the last second of a day in UTC has one (RFC 3339, appendix D)."""
    return (moment.replace(tzinfo=None) - (moment.utcoffset() or timedelta()) + _SECOND).time() == time()


def unescaped(text: str) -> str:
    """Return a moment as it was meant: the "+" of a zone arrives as a blank where a query did not escape it."""
    return text[:_DATE] + text[_DATE:].replace(" ", "+")


def parse_moment(text: str) -> datetime | None:
    """RFC 3339 text with a zone, `unescaped` or not → aware datetime; None for anything else."""
    try:
        moment = read_moment(unescaped(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


@lru_cache(maxsize=4096)
def to_rfc3339(time_us: int) -> str:
    """`1_732_277_000_123_000` → `2024-11-22T12:03:20.123000Z`; cached, since devices often say the same time."""
    return (_NAIVE_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds") + "Z"


def to_text(moment: datetime) -> str:
    """Aware datetime → RFC 3339, UTC, with microseconds."""
    return to_rfc3339(to_us(moment))
