"""The budget of dead letters: whose a letter is, how many bytes of them each may have, and how fast it may add to them.

A registered device is an owner of its own. Everybody else is one owner together, since whoever may publish anywhere may
call itself anything. What comes faster than its owner may add is not kept with its bytes: it is counted by owner and
code, in one letter. Pure: time is an argument.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letters import DeadLetter
from gateway.domain.rate_limit import Meter, Rate

STRANGERS = ""
"""The owner of what no registered device has sent."""
STRANGERS_SHARES = 4
"""They have as much as so many devices."""
BURST_SECS = 60.0
"""What may come at once after a quiet time, in seconds of the rate."""
ROW_BYTES = 200
"""What a letter takes besides its payload and its words, as the queries count it."""
LEAST_BYTES = 1024
"""What a letter is charged at least: writing a row costs as much as some bytes do."""
LARGEST_PART = 4
"""A payload of more than this part of a share is never kept."""
MAX_OWNERS = 10_000
"""Devices whose rate is remembered."""
SETTING = "dead_letters.device_bytes_per_sec"


class Folded(NamedTuple):
    """What letters that are not kept are counted under."""

    source: str
    code: str
    owner: str


class Divided(NamedTuple):
    """What becomes of some letters."""

    kept: list[tuple[DeadLetter, str]]
    """With their owners."""
    folded: Counter[Folded]


class DeadLetterBudget:
    """The rates of one worker, and the shares of all."""

    def __init__(self, limits: DeadLetterSettings) -> None:
        self._share = limits.device_bytes
        per_sec = limits.device_bytes_per_sec
        self._devices = Meter(_rate(per_sec), max_callers=MAX_OWNERS)
        self._strangers = Meter(_rate(STRANGERS_SHARES * per_sec), max_callers=1)

    def share(self, owner: str) -> int:
        """Return the bytes of letters that an owner may have."""
        return self._share if owner else STRANGERS_SHARES * self._share

    def divide(self, letters: Sequence[DeadLetter], registered: Collection[str], now: float) -> Divided:
        """Say which letters are to be kept, and how many of the others there are; `now` is in seconds."""
        kept: list[tuple[DeadLetter, str]] = []
        folded: Counter[Folded] = Counter()
        for letter in letters:
            owner = letter.device if letter.device in registered and letter.device else STRANGERS
            if self._passes(letter, owner, now):
                kept.append((letter, owner))
            else:
                folded[Folded(letter.source, letter.code, owner)] += 1
        return Divided(kept, folded)

    def _passes(self, letter: DeadLetter, owner: str, now: float) -> bool:
        if len(letter.payload) > self.share(owner) // LARGEST_PART:
            return False
        meter = self._devices if owner else self._strangers
        return not meter.take(owner, max(LEAST_BYTES, size_of(letter)), now)


def size_of(letter: DeadLetter) -> int:
    """Return about how many bytes a letter takes."""
    return len(letter.payload) + len(letter.detail) + ROW_BYTES


def to_letter(folded: Folded) -> DeadLetter:
    """Return the letter that counts what is not kept."""
    who = "this device" if folded.owner else "devices that are not registered, and topics that name none,"
    detail = (
        f"not kept with their bytes, only counted here: {who} had more refused than {SETTING} lets it keep, or larger "
        f"ones than fit; mend what is refused, or raise the limit"
    )
    return DeadLetter(folded.source, folded.code, detail, folded.owner or None, b"")


def _rate(per_sec: float) -> Rate:
    return Rate(SETTING, per_sec, "bytes", per_sec, max(1.0, per_sec * BURST_SECS))
