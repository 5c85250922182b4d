"""The connection for scripts on a real Valkey: what it says of itself, every way to end, no answer is another's."""

import asyncio
import os
import signal
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisGone
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisSlow

from gateway.app.dev_servers.valkey import ValkeyServer
from gateway.core.tasks import end
from gateway.state.client import open_client
from gateway.state.script_connection import Script, ScriptConnection

ECHO = Script("return {KEYS[1], ARGV[1], #ARGV}")
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def connected(url: str, *, wait_secs: float = 5.0) -> AsyncIterator[ScriptConnection]:
    async with open_client(url, name="us", wait_secs=wait_secs, connect_secs=5.0) as client:
        scripts = ScriptConnection(client, wait_secs=wait_secs, connect_secs=5.0)
        try:
            yield scripts
        finally:
            scripts.close()


@asynccontextmanager
async def answering(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a port of 127.0.0.1."""
    serving: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(cast("asyncio.Task[Any]", asyncio.current_task()))
        try:
            await handle(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            await end(*serving)


def saying(words: bytes) -> Handle:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            writer.write(words)

    return handle


async def test_what_a_script_answers_comes_back_whatever_its_arguments_hold(valkey: str) -> None:
    odd = [b"", b"\r\n", bytes(range(256)), b"$5\r\nhello\r\n" * 3, b"x" * 3_000_000]
    async with connected(valkey) as scripts:
        for each in odd:
            assert await scripts.call(ECHO, ["key"], [each, "ß", 7]) == [b"key", each, 3]


async def test_overlapping_calls_get_their_own_answers_also_when_some_are_cancelled(valkey: str) -> None:
    async with connected(valkey) as scripts:
        calls = [asyncio.ensure_future(scripts.call(ECHO, [n], [n])) for n in range(200)]
        await asyncio.sleep(0)
        for call in calls[::3]:
            call.cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
    for n, answer in enumerate(found):
        assert isinstance(answer, asyncio.CancelledError) if n % 3 == 0 else answer == [b"%d" % n, b"%d" % n, 1]


async def test_it_says_who_it_is_and_which_database_it_means(own_valkey: ValkeyServer) -> None:
    async with redis.from_url(own_valkey.url()) as admin:
        await admin.acl_setuser("me", enabled=True, passwords=["+se@cret"], keys=["*"], commands=["+@all"])
        plain = own_valkey.url(3)
        url = plain.replace("unix://", "unix://me:se%40cret@").replace("redis://", "redis://me:se%40cret@")
        async with connected(url) as scripts:
            assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]
            (told,) = [each for each in await admin.client_list() if each["user"] == "me"]
        assert (told["name"], told["db"]) == ("us", "3")
        async with connected(url.replace("se%40cret", "wrong")) as scripts:
            with pytest.raises(RedisGone, match="WRONGPASS"):
                await scripts.call(ECHO, ["k"], ["v"])


async def test_a_script_that_the_server_has_forgotten_is_sent_again(valkey: str) -> None:
    async with connected(valkey) as scripts, redis.from_url(valkey) as admin:
        for _ in range(2):
            assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]
            await admin.script_flush()


async def test_what_a_script_raises_is_raised_and_the_next_call_is_served(valkey: str) -> None:
    async with connected(valkey) as scripts:
        with pytest.raises(ResponseError, match="boom"):
            await scripts.call(Script("return redis.error_reply('boom')"), [], [])
        assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]


async def test_a_connection_that_was_ended_is_opened_anew(own_valkey: ValkeyServer) -> None:
    async with connected(own_valkey.url()) as scripts:
        assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]
        async with redis.from_url(own_valkey.url()) as admin:
            assert await admin.client_kill_filter(skipme=True)
        assert await scripts.call(ECHO, ["k"], ["w"]) == [b"k", b"w", 1]
        own_valkey.kill()
        with pytest.raises(RedisGone):
            await scripts.call(ECHO, ["k"], ["v"])
        own_valkey.start()
        assert await scripts.call(ECHO, ["k"], ["x"]) == [b"k", b"x", 1]


async def test_a_server_that_hangs_costs_the_stated_time_and_no_later_call_gets_its_answer(
    own_valkey: ValkeyServer,
) -> None:
    async with connected(own_valkey.url(), wait_secs=0.3) as scripts, redis.from_url(own_valkey.url()) as admin:
        assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]
        pid = (await admin.info("server"))["process_id"]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(RedisSlow):
                await scripts.call(ECHO, ["k"], ["late"])
        finally:
            os.kill(pid, signal.SIGCONT)
    async with connected(own_valkey.url()) as scripts:
        assert await scripts.call(ECHO, ["k"], ["w"]) == [b"k", b"w", 1]


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0", b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n"])
async def test_what_is_no_answer_or_one_too_many_ends_the_connection(words: bytes) -> None:
    async with answering(saying(words)) as port, connected(f"redis://127.0.0.1:{port}/0", wait_secs=2.0) as scripts:
        calls = [
            scripts.call(ECHO, ["k"], ["v"]) for _ in range(3)
        ]  # the first may have its word before the second comes
        assert RedisGone in map(type, await asyncio.gather(*calls, return_exceptions=True))


@pytest.mark.parametrize(
    "words", [b"-LOADING the dataset\r\n", b"-NOAUTH first\r\n", b"-ERR max number of clients\r\n"]
)
async def test_a_server_that_cannot_answer_anything_is_not_to_be_had(words: bytes) -> None:
    async with answering(saying(words)) as port, connected(f"redis://127.0.0.1:{port}/0") as scripts:
        with pytest.raises(RedisGone):
            await scripts.call(ECHO, ["k"], ["v"])


async def test_nobody_there_is_told_as_such(tmp_path: Path) -> None:
    async with answering(saying(b"")) as port:
        pass
    for url in (f"redis://127.0.0.1:{port}/0", f"unix://{tmp_path}/none"):
        async with connected(url) as scripts:
            with pytest.raises(RedisGone):
                await scripts.call(ECHO, ["k"], ["v"])


async def test_tls_is_spoken_and_the_certificate_looked_at(own_valkey: ValkeyServer, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    await asyncio.to_thread(_make_certificate, certificate, key)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with answering(_pipe_to(own_valkey), tls) as port:
        url = f"rediss://127.0.0.1:{port}/0"
        async with connected(f"{url}?ssl_ca_certs={certificate}") as scripts:
            assert await scripts.call(ECHO, ["k"], ["v"]) == [b"k", b"v", 1]
        async with connected(url) as scripts:
            with pytest.raises(RedisGone, match=r"(?i)certificate"):
                await scripts.call(ECHO, ["k"], ["v"])


def _make_certificate(certificate: Path, key: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)


def _pipe_to(server: ValkeyServer) -> Handle:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(server.listen, Path):
            there = await asyncio.open_unix_connection(server.listen)
        else:
            there = await asyncio.open_connection("127.0.0.1", server.listen)
        await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer), return_exceptions=True)

    return handle


async def _copy(source: asyncio.StreamReader, to: Any) -> None:
    while data := await source.read(65536):
        to.write(data)
    to.close()
