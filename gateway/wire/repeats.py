"""Whether a key stands twice in one object of a body, which a decoder passes over in silence. Pure; raises nothing.

Every key has a colon behind it, so a body with no more colons than kept keys repeats none. Where texts hold colons too,
only those behind a quote or white space can be a key's. Where that leaves a doubt, the body is read again, by pairs.
"""

import json
from typing import Any

import numpy as np

from gateway.json_text import Pair, most_keys

SMALL = 4096
"""Bytes from which on numpy counts faster."""
_COLON, _QUOTE, _BLANK = b':" '


def is_free(body: bytes, kept: int) -> bool:
    """Tell that a body that was decoded to `kept` keys holds no others; it is well-formed JSON."""
    if len(body) > SMALL:
        return _is_free_large(body, kept)
    return body.count(b":") == kept or most_keys(body) == kept or _is_free_by_pairs(body)


def _is_free_large(body: bytes, kept: int) -> bool:
    data = np.frombuffer(body, np.uint8)
    colons = data == _COLON
    if np.count_nonzero(colons) == kept:
        return True
    before = data[:-1]
    keys = colons[1:] & ((before == _QUOTE) | (before <= _BLANK))
    return np.count_nonzero(keys) == kept or _is_free_by_pairs(body)


class _FoundError(Exception):
    pass


def _is_free_by_pairs(body: bytes) -> bool:
    try:
        json.loads(body, object_pairs_hook=_check, parse_int=float, strict=False)
    except (_FoundError, ValueError, RecursionError):
        return False
    return True


def _check(pairs: list[Pair]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _FoundError
    return found
