"""Size: how much a body holds, told before it is read, by its commas. Raises TooLarge. Nothing is made of the body.

Whatever a body holds stands between commas, and a reading has four around it at most (device, metric, ts, value). So
one with more is refused for what it costs to look at the commas: numpy does a megabyte in a third of a millisecond.
"""

import numpy as np

from gateway.core.errors import TooLarge
from gateway.core.slices import Steps

COMMAS = 4
"""Around one reading at most."""
BLOCK = 2**20
"""Bytes counted at a time."""
EXACT_BLOCK = 2**18
"""Bytes at a time where texts must be told from the rest: some 2 ms."""
_COMMA, _QUOTE = b',"'
_ESCAPES = ((rb"\\", b"__"), (rb"\"", b"__"))


def too_many(max_readings: int) -> TooLarge:
    """Return the error for a body that holds too many readings, or too much of anything else."""
    return TooLarge(
        f"more than {max_readings} readings in one request (http.max_readings); send them in parts",
        limit="http.max_readings",
        max_readings=max_readings,
    )


def check(body: bytes, max_readings: int) -> Steps[None]:
    """Return if the body may be read. Raises TooLarge if it holds more than `max_readings` can need."""
    most = COMMAS * max_readings
    if len(body) <= most:
        return
    commas = 0
    for start in range(0, len(body), BLOCK):
        commas += body.count(b",", start, start + BLOCK)
        yield
    if commas > most:
        yield from _check_outside_texts(body, max_readings)


def _check_outside_texts(body: bytes, max_readings: int) -> Steps[None]:
    commas, start, is_inside = 0, 0, False
    while start < len(body):
        stop = _end_of_block(body, start)
        block = body[start:stop]
        for escape, harmless in _ESCAPES:
            block = block.replace(escape, harmless)
        data = np.frombuffer(block, np.uint8)
        inside = np.logical_xor.accumulate(data == _QUOTE) ^ is_inside
        commas += int(np.count_nonzero((data == _COMMA) & ~inside))
        if commas > COMMAS * max_readings:
            raise too_many(max_readings)
        is_inside, start = bool(inside[-1]), stop
        yield


def _end_of_block(body: bytes, start: int) -> int:
    """Return where a block ends that does not cut an escape in two."""
    stop = min(start + EXACT_BLOCK, len(body))
    block = body[start:stop]
    escaping = len(block) - len(block.rstrip(b"\\"))
    return min(stop + escaping % 2, len(body))
