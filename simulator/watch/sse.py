"""Parse server-sent events (WHATWG HTML 9.2.6): bytes in, in any pieces; events out. Pure, bounded in memory."""

from dataclasses import dataclass

MAX_EVENT_BYTES = 32 * 2**20
"""Longer than any event may be: the newest values of a thousand devices take a few megabytes."""


class BadStream(Exception):
    """What comes is no stream of events."""


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event; `id` is empty if it has none of its own."""

    kind: str
    data: str
    id: str


class SseReader:
    """Holds what has come of one stream. `retry_ms` is what the server said last, None before."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self._rest = b""
        self._size = 0
        self._begin()

    def _begin(self) -> None:
        self._kind = self._id = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Take in bytes; return the events that are complete. Raises BadStream."""
        # A CR at the end may be half of a CRLF: it waits for what follows.
        text = self._rest + piece
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, rest = text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        if self._size + len(self._rest) > MAX_EVENT_BYTES:
            raise BadStream("an event does not end")
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._finish()
        self._size += len(line)
        field, _, value = line.decode("utf-8", errors="replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                self._kind = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value[:9])
        return None

    def _finish(self) -> SseEvent | None:
        """Return the event that an empty line ends; one without data is none."""
        event = SseEvent(self._kind or "message", "\n".join(self._data), self._id) if self._data else None
        self._begin()
        return event
