"""DevTools commands in, results and events out, over one WebSocket. Each wait is bounded; knows no page."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

ANSWER_SECS = 15.0
MAX_MESSAGE = 64 * 2**20

Fields = dict[str, Any]


class BrowserError(Exception):
    """The browser said no, or nothing."""


class Wire:
    """One connection to a browser, shared by its tabs."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.events: list[Fields] = []
        """What happened and nobody has taken yet."""

    def call(self, method: str, *, session: str | None = None, **parameters: object) -> Fields:
        """Send a command and return its result; events that come meanwhile are kept. Raises BrowserError."""
        number = next(self._numbers)
        message: Fields = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._socket.send(json.dumps(message))
        deadline = time.monotonic() + ANSWER_SECS
        while True:
            got = self._receive(deadline, method)
            if got.get("id") == number:
                if "error" in got:
                    raise BrowserError(f"{method}: {got['error']}")
                result: Fields = got["result"]
                return result

    def wait(self, method: str, *, session: str) -> Fields:
        """Return the parameters of the next event of this name; earlier ones count. Raises BrowserError."""
        deadline = time.monotonic() + ANSWER_SECS
        while True:
            for event in self.events:
                if (event["method"], event.get("sessionId")) == (method, session):
                    self.events.remove(event)
                    parameters: Fields = event["params"]
                    return parameters
            self._receive(deadline, method)

    def _receive(self, deadline: float, what: str) -> Fields:
        try:
            got: Fields = json.loads(self._socket.recv(timeout=max(0.0, deadline - time.monotonic())))
        except TimeoutError:
            raise BrowserError(f"{what}: nothing within {ANSWER_SECS} s") from None
        if "method" in got:
            self.events.append(got)
        return got


@contextmanager
def dial(url: str) -> Iterator[Wire]:
    """Connect until the end of the block."""
    with connect(url, max_size=MAX_MESSAGE, open_timeout=ANSWER_SECS, compression=None) as socket:
        yield Wire(socket)
