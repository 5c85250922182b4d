"""Times of devices: numbers and text → microseconds since 1970 UTC. Pure; raises ValueError only.

A number's unit is told by its size, as InfluxDB 3 does: below 5e9 seconds, below 5e12 milliseconds, below 5e15
microseconds, else nanoseconds. Text is RFC 3339 with a zone. Whatever is finer is rounded to the nearest microsecond.
None is the time of receipt.
"""

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import cast

import numpy as np

from gateway.core.timestamps import MAX_US, read_moment, to_us

Timestamp = int | float | datetime | None

SECONDS, MILLIS, MICROS = 5e9, 5e12, 5e15
BEYOND = 1e20
SMALL = 32
"""Below this many timestamps plain Python beats numpy."""


def parse_timestamp(ts: int | float | str | datetime) -> int:
    """Convert one timestamp. Raises ValueError if it is no moment between 1970 and 9999."""
    if isinstance(ts, str):  # msgspec's parser, as in `native`: `fromisoformat` reads more and cuts where this rounds
        ts = read_moment(ts)
    if isinstance(ts, datetime):
        us = _from_datetime(ts)
    elif isinstance(ts, bool) or not 0 <= ts < BEYOND:  # NaN is not less either
        raise ValueError("not a Unix time")
    else:
        us = _from_number(ts)
    if not 0 <= us <= MAX_US:
        raise ValueError("outside 1970 to 9999")
    return us


def column(stamps: Sequence[Timestamp], received_us: int) -> "array[int]":
    """Convert many. None becomes the time of receipt, a microsecond apart, so that none shadows another."""
    try:
        raw = array("q", cast("Sequence[int]", stamps))
    except (TypeError, OverflowError):  # they are not all integers
        return array("q", [received_us + i if ts is None else parse_timestamp(ts) for i, ts in enumerate(stamps)])
    if len(raw) > SMALL:
        many = np.frombuffer(raw, np.int64)
        if np.minimum.reduce(many) >= SECONDS and np.maximum.reduce(many) < MILLIS:
            return array("q", (many * 1000).tobytes())
    elif raw and min(raw) >= SECONDS and max(raw) < MILLIS:
        return array("q", [ts * 1000 for ts in raw])
    return array("q", [parse_timestamp(ts) for ts in raw])


def _from_datetime(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError("no zone")
    return to_us(moment)


def _from_number(ts: int | float) -> int:
    if ts < SECONDS:
        return round(ts * 1_000_000)
    if ts < MILLIS:
        return round(ts * 1000)
    if ts < MICROS:
        return round(ts)
    return (int(ts) + 500) // 1000
