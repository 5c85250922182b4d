"""Duplicate keys: whether one stands twice in one object, which decoders pass over. Raises RepeatedKeyError.

Every key has a colon behind it, so a body with no more colons than kept keys repeats none. Where texts hold colons too,
only those behind a quote or white space can be a key's. Where that leaves a doubt, the body is read again, by pairs.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.domain.json_text import Pair, most_keys

SMALL = 4096
"""Bytes from which on numpy counts faster."""
BLOCK = 2**20
"""Bytes looked at together: what is noted of each takes as much again."""
_COLON, _QUOTE = b':"'


class RepeatedKeyError(Exception):
    """A key stands twice in one object."""


def check(body: bytes, kept: int) -> None:
    """Raise RepeatedKeyError if a body that was decoded to `kept` keys holds others; it is well-formed JSON."""
    if not are_counted(body, kept):
        _check_by_pairs(body)


def are_counted(body: bytes, kept: int) -> bool:
    """Tell that a well-formed body holds `kept` keys and no more; False: that cannot be told by counting."""
    if len(body) <= SMALL:
        return body.count(b":") == kept or most_keys(body) == kept
    data = np.frombuffer(body, np.uint8)
    parts = [data[start : start + BLOCK + 1] for start in range(0, len(data) - 1, BLOCK)]  # the first byte is no colon
    return sum(map(_colons, parts)) == kept or sum(map(_keys, parts)) == kept


def _colons(part: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(part[1:] == _COLON))


def _keys(part: NDArray[np.uint8]) -> int:
    """Count the colons behind a quote or what is below it: white space, and an exclamation mark, which is no key's."""
    return int(np.count_nonzero((part[1:] == _COLON) & (part[:-1] <= _QUOTE)))


def _check_by_pairs(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_check, parse_int=float, strict=False)
    except (ValueError, RecursionError):
        raise RepeatedKeyError from None


def _check(pairs: list[Pair]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RepeatedKeyError
    return found
