"""Any bytes in any place of a request: an answer below 500, and the next client is served."""

from collections.abc import AsyncIterator

import msgspec
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadPayload
from gateway.core.settings import HttpSettings
from gateway.domain.model import Receipt
from tests.integration.web_server import CLEAN, Door, serving

LIMITS = HttpSettings(drain_secs=0, grace_secs=1, max_body_bytes=300, max_inflated_bytes=600, body_deadline_secs=0.02)
PLACES = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(LIMITS) as door:

        async def decode(body: bytes) -> Receipt:
            try:
                msgspec.json.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
                raise BadPayload(str(exc)) from exc
            return CLEAN

        door.intake.answer = decode
        yield door


async def status_of(door: Door, data: bytes) -> int:
    """Return the status of the first answer on a fresh connection."""
    wire = await door.raw()
    try:
        await wire.send(data)
        answer = await wire.answer()
        return answer.status if answer.status != 100 else (await wire.answer()).status
    finally:
        await wire.close()


HEADERS = st.sampled_from(
    [b"Authorization", b"Content-Type", b"Content-Encoding", b"X-Request-Id", b"Expect", b"Host", b"Connection"]
)
WORDS = st.sampled_from(
    [b"gzip", b"zstd", b"deflate", b"application/json", b"Bearer admin", b"100-continue", b"close", b""]
)
VALUES = WORDS | st.binary(max_size=40)


@PLACES
@given(
    path=st.sampled_from([b"/v1/readings", b"/v1/devices/d1/readings", b"/v1/states:query"]) | st.binary(max_size=30),
    headers=st.lists(st.tuples(HEADERS, VALUES), max_size=4),
    body=st.binary(max_size=400),
)
async def test_any_header_and_any_body(
    door: Door, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    lines = [b"POST " + path + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    start = b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", b""])
    assert 200 <= await status_of(door, start + body) < 500
    assert (await door.client.get("/livez")).status_code == 200


@PLACES
@given(
    encoding=st.sampled_from([b"gzip", b"zstd", b"deflate"]),
    body=st.sampled_from([b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", b"\x78\x9c", b"\x28\xb5\x2f\xfd", b""]).flatmap(
        lambda start: st.binary(max_size=200).map(lambda rest: start + rest)
    ),
)
async def test_any_compressed_body(door: Door, encoding: bytes, body: bytes) -> None:
    start = (
        b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n"
        b"Content-Encoding: " + encoding + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    assert await status_of(door, start + body) in (200, 400, 413)
    assert door.context.bodies.inflight_bytes == 0


@PLACES
@given(data=st.binary(max_size=400))
async def test_any_chunks(door: Door, data: bytes) -> None:
    start = (
        b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert 200 <= await status_of(door, start + data) < 500
    assert (await door.client.get("/livez")).status_code == 200
