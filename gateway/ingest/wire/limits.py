"""Limits of one body: how many readings, messages and faults it may hold, and what was looked at of it so far.

A compressed body must not cost much more than what was sent could say plainly. Raises TooLarge.
"""

import math
from typing import NamedTuple

from gateway.core.errors import TooLarge
from gateway.ingest.wire.size import too_many

RATIO = "http.max_inflated_ratio"
MESSAGES_A_BYTE = 4
"""In a compressed body at most: two of which only the time is new, each a second later, come to a byte."""
ALWAYS = 2000
"""Messages and refusals that are looked at one by one in any body."""
SENT_BYTES = 4
"""Of a compressed body for each further one: as little is left of a message of which only the time is new."""
COST = 8
"""What a message or a refusal costs, in values or elements of arrays that are looked at."""
STEP = 500
"""Values, or what costs as much, between two steps: less than a millisecond."""


class Limits(NamedTuple):
    """What one body may hold, and how much is said of it."""

    max_readings: int
    listed: int
    """Refusals that are said in words."""
    sent: int | None = None
    """Bytes that were sent of a compressed body, which must not cost much more than they could say plainly."""

    @property
    def most_work(self) -> float:
        """What may be looked at one by one, in values."""
        return math.inf if self.sent is None else COST * max(ALWAYS, self.sent // SENT_BYTES)


def check_count(messages: int, readings: int, limits: Limits) -> None:
    """Raise TooLarge if a body holds more readings than one request may, or more messages than it was compressed to."""
    if readings > limits.max_readings:
        raise too_many(limits.max_readings)
    if limits.sent is not None and messages > max(ALWAYS, MESSAGES_A_BYTE * limits.sent):
        raise TooLarge(
            f"the body holds {messages} messages in {limits.sent} compressed bytes, more than {MESSAGES_A_BYTE} "
            "a byte; compress it less, or send it in parts",
            limit=RATIO,
            value=limits.sent,
        )


class Work:
    """What was looked at of one body, in values."""

    def __init__(self, limits: Limits) -> None:
        self._sent = limits.sent
        self._left = limits.most_work
        self._done = 0
        """Since the last step."""

    def add(self, values: int) -> None:
        """Count. Raises TooLarge for a compressed body that holds too much to be looked at."""
        self._done += values
        self._left -= values
        if self._left < 0:
            raise TooLarge(
                f"the body has faults and must be looked at one by one, and holds too much for the {self._sent} bytes "
                "that it was compressed to; mend it, compress it less, or send it in parts",
                limit=RATIO,
                value=self._sent,
            )

    @property
    def is_due(self) -> bool:
        """Whether that is enough for a step; asked once for each."""
        if self._done <= STEP:
            return False
        self._done = 0
        return True
