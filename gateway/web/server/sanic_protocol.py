"""Sanic's connection, with a name for each of its private parts that is used outside this file.

`tests/unit/web/server/test_sanic_http.py` names what Sanic must not move. What else a connection must have for `Http1`
is in `bounded` and `paced`.
"""

import time
from typing import Any

from sanic.http import Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.web.server.head import HeadParser
from gateway.web.server.sanic_http import Http1


class Http1Connection(WebSocketProtocol):
    """One connection."""

    HTTP_CLASS = Http1

    __slots__ = ("is_deaf",)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_deaf = False
        """Whether what comes is dropped."""

    def check_timeouts(self) -> None:
        """Do nothing: Sanic has a timer for each connection, which keeps it alive; `deadlines` has one for all."""

    @property
    def last_active(self) -> float:
        """When something came or was sent (monotonic, s)."""
        return float(self._time)

    def stop_serving(self, exc: Exception) -> None:
        """End the request in hand, with this for an answer if none has begun."""
        if self._task is not None and self.http is not None:
            self.http.exception = exc
            self._task.cancel()

    def let_go(self) -> None:
        """Forget the transport of a connection that is lost: it and we would keep each other for the collector."""
        if self.conn_info is not None and self.conn_info.lost and self._task is None:
            self.transport = None
            self.websocket = None

    def is_taken(self) -> bool:
        """Whether everything that is written has left, as far as is looked at."""
        return self._can_write.is_set()

    async def taken(self) -> None:
        """Return when it has."""
        await self._can_write.wait()

    def idle_heads(self) -> HeadParser | None:
        """Return what reads the next head, if that is waited for and an answer can be written at once; else None."""
        http = self.http
        if (
            http is not None
            and http.stage is Stage.IDLE
            and http.request is None
            and not self.recv_buffer
            and self.websocket is None
            and not self.access_log
            and not self.is_deaf
            and self._can_write.is_set()
        ):
            heads: HeadParser = http.heads
            return heads
        return None

    def set_stage(self, stage: Stage) -> float:
        """Say what is being done, from now on: a server that stops waits for a connection that is not idle."""
        http = self.http
        if http is not None:
            http.stage = stage
        self._time = now = time.monotonic()
        return now

    def read_buffered(self) -> None:
        """Have Sanic go on with what is in its buffer."""
        self._data_received.set()
