"""Changes as the live stream has them, and the joint between it and the log it is read from. No I/O, no clock.

A position is a place in the log, and says under which promise: as long as the epoch stays the same, every committed
batch is in the log. A server that restarted, failed over or was emptied begins another log. Where changes may be
missing though the log goes on (a gateway died, or had to skip some), the turn changes: the epoch behind its `z`.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.model import Value

_POSITION = re.compile(r"([0-9a-z]{8,40})-([0-9]{1,16})-([0-9]{1,16})", re.ASCII)


class LogPosition(NamedTuple):
    """A place in the log: the id of an event."""

    epoch: str
    offset: int
    """Bytes of changes logged in this epoch, up to and with the entry: the entry before ended `size` bytes earlier."""
    ms: int
    """Milliseconds since 1970 UTC, by the clock of the log's server."""

    @property
    def text(self) -> str:
        """As callers see it."""
        return f"{self.epoch}-{self.offset}-{self.ms}"

    def continues(self, other: "LogPosition") -> bool:
        """Whether both are places in the same log, this one not before the other."""
        return self.epoch.partition("z")[0] == other.epoch.partition("z")[0] and self.offset >= other.offset


def to_position(text: str) -> LogPosition | None:
    """Read an event id; None if it is not one of ours."""
    found = _POSITION.fullmatch(text)
    return LogPosition(found[1], int(found[2]), int(found[3])) if found else None


class Change(NamedTuple):
    """A committed message as a reader sees it."""

    device: str
    time_us: int
    values: Mapping[str, Value]


class Logged(Protocol):
    """One entry of the log: a committed batch."""

    @property
    def position(self) -> LogPosition:
        """Where it ends."""
        ...

    @property
    def size(self) -> int:
        """Its bytes; -1 if it cannot be read."""
        ...

    @property
    def devices(self) -> Sequence[str]:
        """The device of each message."""
        ...

    @property
    def shapes(self) -> Collection[int]:
        """The ids of the shapes of all messages."""
        ...

    def message(self, i: int) -> NewestMessage:
        """Unpack one message. Raises ValueError if its bytes are not ours."""
        ...


class ChangeLog(Protocol):
    """Committed batches in order, kept for a while. Nothing is logged unless somebody watches."""

    async def watch(self) -> LogPosition:
        """Have changes logged from now on, and return the end of the log. Raises StateUnavailable.

        To be repeated every few seconds: the watch lasts a little longer than the log reaches back.
        """
        ...

    async def after(self, position: LogPosition) -> list[Logged]:
        """Return the next entries; none after about a second in which none came. Raises StateUnavailable."""
        ...

    async def between(self, position: LogPosition, upto: LogPosition) -> list[Logged]:
        """Return the oldest entries after one position and not after another, a page. Raises StateUnavailable."""
        ...


def start_of(entry: Logged) -> LogPosition:
    """Return where an entry begins."""
    return entry.position._replace(offset=entry.position.offset - max(0, entry.size))


def follows(entry: Logged, position: LogPosition) -> bool:
    """Whether the log has no hole between a position and an entry; whether the turn is the same is another matter."""
    start = start_of(entry)
    return start.continues(position) and start.offset == position.offset
