"""The requests of one connection, without end: the same content in whatever format a target takes.

In: a work, a format. Out: bytes. They are laid out once, with gaps for times and values; values come from a pool of
random numbers, so that nothing compresses better than it should. Times and values have one width, so lengths never
change.
"""

import re
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from random import Random

from tests.peers.works import STEP_MS, Door, Work, device_names

POOL = 65_536
_VALUE = "\0V\0"
_STAMP_WIDTH, _VALUE_WIDTH = 13, 6
_GAP = re.compile(rb"\0(\d+|V)\0")


def _values(work: Work) -> str:
    return ",".join(f'"m{metric}":{_VALUE}' for metric in range(work.metrics))


def _stamps(work: Work) -> list[str]:
    return [f'{{"ts":\0{place}\0,"values":{{{_values(work)}}}}}' for place in range(work.stamps)]


def _messages(work: Work, devices: list[str]) -> str:
    """One object for each stamp: this gateway, and the FastAPI baselines."""
    return "[" + ",".join(f'{{"device":"{d}",{one[1:]}' for d in devices for one in _stamps(work)) + "]"


def _nested(work: Work, devices: list[str]) -> str:
    """One object for each device, with a list of its stamps: this gateway."""
    return "[" + ",".join(f'{{"device":"{d}","readings":[{",".join(_stamps(work))}]}}' for d in devices) + "]"


def _influx(work: Work, devices: list[str]) -> str:
    """InfluxDB's line protocol."""
    fields = ",".join(f"m{metric}={_VALUE}" for metric in range(work.metrics))
    return "".join(f"weather,device={d} {fields} \0{place}\0\n" for d in devices for place in range(work.stamps))


def _mqtt(work: Work, _: list[str]) -> str:
    """One message; the topic names the device."""
    return _stamps(work)[0]


_LAYOUTS: dict[str, Callable[[Work, list[str]], str]] = {
    "messages": _messages, "nested": _nested, "influx": _influx, "mqtt": _mqtt,
}  # fmt: skip


class Requests:
    """What one connection sends, request by request."""

    def __init__(self, work: Work, door: Door, *, tag: str, connection: int, base_ms: int) -> None:
        self.devices = device_names(work, tag, connection)
        self.readings = work.readings
        self._stamps = work.stamps
        self._base_ms = base_ms
        self._offset = Random(connection).randrange(POOL)
        body = _LAYOUTS[door.format](work, self.devices).encode()
        pieces = _GAP.split(_head(door, body) + body)
        gaps = pieces[1::2]
        self._count = gaps.count(b"V")
        places = iter(range(work.stamps, work.stamps + self._count))
        self._pick = itemgetter(*[next(places) if gap == b"V" else int(gap) for gap in gaps])
        self._layout = b"%b".join(piece.replace(b"%", b"%%") for piece in pieces[0::2])

    def request(self, number: int) -> bytes:
        """Return one request; every stamp is in one request only."""
        first = self._base_ms + number * self._stamps * STEP_MS
        stamps = [b"%d" % (first + place * STEP_MS) for place in range(self._stamps)]
        at = (self._offset + number * (self._count | 1)) % POOL
        filled: bytes = self._layout % self._pick(stamps + _pool()[at : at + self._count])
        return filled

    def stamps(self, requests: int) -> dict[str, int]:
        """Return how many stamps of each device were in the first so many requests."""
        return dict.fromkeys(self.devices, requests * self._stamps)


def _head(door: Door, body: bytes) -> bytes:
    """Return the head of a request; of one over MQTT the topic."""
    if door.topic:
        return b""
    widths = sum((_VALUE_WIDTH if gap == b"V" else _STAMP_WIDTH) for gap in _GAP.findall(body))
    size = len(_GAP.sub(b"", body)) + widths
    media = "text/plain" if door.format == "influx" else "application/json"
    known = f"Authorization: {door.authorization}\r\n" if door.authorization else ""
    lines = f"POST {door.path} HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n{known}Content-Type: {media}\r\n"
    return f"{lines}Content-Length: {size}\r\n\r\n".encode()


@cache
def _pool() -> list[bytes]:
    """Random numbers as text, and the first of them again, so that no slice ends early."""
    random = Random(1)
    numbers = [b"%06.3f" % random.uniform(10, 99.999) for _ in range(POOL)]
    return numbers + numbers[:4096]
