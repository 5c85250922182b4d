"""Split: a long body → texts of some of its items, each a body of its own. Pure; raises UncutError if it cannot tell.

Whoever cuts guesses: what looks like the end of an item may stand in a text. But if every part is well-formed, the
whole is the parts with commas between them: JSON can be read in one way only. If one is not, nothing is known.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gateway.ingest.wire.pointers import Form

PART = 2**17
"""Bytes of a part, or a little more: reading it takes some milliseconds."""
REACH = 2**18
"""Bytes in which the item must end that a part ends with."""
EDGE = 4096
"""Bytes in which what stands around the items must lie."""

_BLANKS = b" \t\r\n"
_ARRAY = re.compile(rb"\s*\[")
_MOMENTS = re.compile(rb'\s*\{[^\[\]{}]*"readings"\s*:\s*\[')
_BETWEEN = re.compile(rb"(\})\s*,\s*(\{)")
_BETWEEN_READINGS = re.compile(rb'[\]"]\s*(\})\s*,\s*(\{)')
"""A moment ends with a number or a bracket of its own, an item of moments with theirs or with its device."""


class UncutError(Exception):
    """The body does not look like many items."""


class _Frame(NamedTuple):
    """What stands around the items, and where they lie."""

    opening: bytes
    closing: bytes
    start: int
    stop: int


def parts(body: bytes, form: Form) -> Iterator[bytes]:
    """Yield the parts of a body of items, or of one item of moments. Raises UncutError, at any part."""
    array = is_array(body)
    frame = _frame(body, _ARRAY if array else _MOMENTS)
    between = _BETWEEN_READINGS if array and form is Form.READINGS else _BETWEEN
    start = frame.start
    while start < frame.stop:
        stop, following = _cut(body, start, frame.stop, between)
        yield frame.opening + body[start:stop] + frame.closing
        start = following


def is_array(body: bytes) -> bool:
    """Whether a body is an array, as far as its beginning tells."""
    return _ARRAY.match(body, 0, EDGE) is not None


def _frame(body: bytes, opening: re.Pattern[bytes]) -> _Frame:
    found = opening.match(body, 0, EDGE)
    tail = body[-EDGE:].rstrip(_BLANKS)
    last = tail.rfind(b"]")
    if found is None or last < 0:
        raise UncutError
    stop = max(0, len(body) - EDGE) + last
    if stop <= found.end():
        raise UncutError
    return _Frame(found[0], body[stop:], found.end(), stop)


def _cut(body: bytes, start: int, stop: int, between: re.Pattern[bytes]) -> tuple[int, int]:
    """Return where a part that starts here ends, and where the next one starts."""
    if stop - start <= PART:
        return stop, stop
    reach = min(start + PART + REACH, stop)
    found = between.search(body, start + PART, reach)
    if found is not None:
        return found.end(1), found.start(2)
    if reach < stop:
        raise UncutError
    return stop, stop
