"""A connection to Redis for scripts alone: arguments in, the script's answer out, in the order of the calls.

It stands on a bare transport. What is called with every commit and every read costs a ninth here of what redis-py's
pool, streams and retries take; everything else goes through `client.py`, which also reads the URL for both.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import hiredis
import redis.asyncio as redis
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisSlow

Argument = bytes | str | int
NOTHING = object()
"""What the reader says when no whole answer has come."""
CANNOT_NOW = ("LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "ERR max number of clients")
"""Beginnings of answers that say nothing of the command: the server is not to be had, as if it could not be reached."""


class Script:
    """A script, and what the server knows it by (SHA-1, EVALSHA)."""

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.sha = hashlib.sha1(self.source, usedforsecurity=False).hexdigest().encode()


class ScriptConnection:
    """Connects when it is first called, and again when the connection has ended. Calls may overlap."""

    def __init__(self, client: "redis.Redis", *, wait_secs: float, connect_secs: float) -> None:
        """`client` says where to, and who we are. Times are the longest wait for an answer, and to connect."""
        self._client = client
        self._wait_secs = wait_secs
        self._connect_secs = connect_secs
        self._line: RespLine | None = None
        self._connecting = asyncio.Lock()

    async def call(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
        """Return what the script answers; strings are bytes. It may have run twice, or though this raises.

        Raises RedisError: a connection that has ended is tried anew once, a time-out never; a script's own error is a
        ResponseError.
        """
        try:
            return await self._run(script, keys, args)
        except RedisGone:
            return await self._run(script, keys, args)

    def close(self) -> None:
        """End the connection; calls under way raise."""
        if self._line is not None:
            self._line.end()

    async def _run(self, script: Script, keys: Sequence[Argument], args: Sequence[Argument]) -> Any:
        line = self._line
        if line is None or line.ended:
            line = await self._connect()
        try:
            return await self._ask(line, b"EVALSHA", script.sha, len(keys), *keys, *args)
        except ResponseError as exc:
            if not str(exc).startswith("NOSCRIPT"):
                raise
        return await self._ask(line, b"EVAL", script.source, len(keys), *keys, *args)

    async def _ask(self, line: "RespLine", *command: Argument, secs: float | None = None) -> Any:
        try:
            async with asyncio.timeout(secs or self._wait_secs):
                answer = await line.ask(command)
        except TimeoutError:
            line.end()  # whoever hangs is not waited for by those who come next
            raise RedisSlow("Redis did not answer in time") from None
        if isinstance(answer, RedisError):
            raise answer
        return answer

    async def _connect(self) -> "RespLine":
        async with self._connecting:
            if self._line is not None and not self._line.ended:
                return self._line
            options = cast("AbstractConnection", self._client.connection_pool.make_connection())  # type: ignore[no-untyped-call]
            try:
                async with asyncio.timeout(self._connect_secs):
                    line = await open_line(options)
            except TimeoutError:
                raise RedisSlow("Redis could not be reached in time") from None
            except OSError as exc:
                raise RedisGone(str(exc)) from exc
            try:
                for command in _greetings(options):
                    await self._ask(line, *command, secs=self._connect_secs)
            except BaseException:
                line.end()
                raise
            self._line = line
            return line


async def open_line(options: AbstractConnection) -> "RespLine":
    """Connect, with what the URL says; nothing is said yet. Raises OSError."""
    loop = asyncio.get_running_loop()
    if isinstance(options, UnixDomainSocketConnection):
        _, line = await loop.create_unix_connection(RespLine, options.path)
        return line
    to = cast("Connection", options)
    tls = options.ssl_context.get() if isinstance(options, SSLConnection) else None
    _, line = await loop.create_connection(RespLine, to.host, int(to.port), ssl=tls)
    return line


def _greetings(options: AbstractConnection) -> list[tuple[Argument, ...]]:
    """Return what is said first: who we are, under which name, and which database is meant."""
    said: list[tuple[Argument, ...]] = []
    if options.password or options.username:
        user = (options.username,) if options.username else ()
        said.append((b"AUTH", *user, options.password or b""))
    if options.client_name:
        said.append((b"CLIENT", b"SETNAME", options.client_name))
    if options.db:
        said.append((b"SELECT", options.db))
    return said


def _error(words: str) -> RedisError:
    return RedisGone(words) if words.startswith(CANNOT_NOW) else ResponseError(words)


class RespLine(asyncio.Protocol):
    """The wire: commands out, answers in, each to the oldest that has none (RESP2, Redis's own specification)."""

    def __init__(self) -> None:
        self.ended = False
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._reader = hiredis.Reader(protocolError=RedisGone, replyError=_error, notEnoughData=NOTHING)
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; the loop calls it."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def ask(self, command: Sequence[Argument]) -> "asyncio.Future[Any]":
        """Send a command; the future has its answer, or an error as one. Who cancels it has sent it all the same."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self.ended or self._transport is None:
            answer.set_exception(RedisGone("the connection to Redis has ended"))
            return answer
        parts = [part if type(part) is bytes else str(part).encode() for part in command]
        self._waiting.append(answer)
        self._transport.write(b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(p), p) for p in parts])))
        return answer

    def data_received(self, data: bytes) -> None:
        """Give each answer to whom it is due; the loop calls it."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not NOTHING:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(answer)
        except (RedisGone, IndexError):  # no answer, or one that nobody asked for: nothing that follows can be believed
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits; the loop calls it."""
        self.ended = True
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(RedisGone(f"the connection to Redis has ended: {exc}"))

    def end(self) -> None:
        """Close at once, whatever is under way."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()
