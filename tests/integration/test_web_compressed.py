"""Compressed bodies as well-behaved and other clients send them: plain bytes, or a 4xx within bounds."""

import gzip
import zlib
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio

from gateway.errors import BadPayload, TooLarge
from gateway.settings import Http
from gateway.web import inflate
from tests.integration.web_server import Door, Wire, serving

CAP = 1000
BODY = b'{"device":"d1","metric":"t","value":1.5}'
LIMITS = Http(drain_secs=0, grace_secs=1, max_body_bytes=CAP, max_inflated_bytes=4 * CAP, body_deadline_secs=0.3)


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(LIMITS) as door:
        yield door


@pytest_asyncio.fixture(name="wire")
async def connected(door: Door) -> AsyncIterator[Wire]:
    wire = await door.raw()
    yield wire
    await wire.close()


def code_of(body: bytes) -> object:
    return orjson.loads(body)["code"]


def gzipped(data: bytes) -> bytes:
    """Without the time of its making, so that a test has the same name in every process."""
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(data) + engine.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzipped(BODY)),
        ("x-gzip", gzipped(BODY)),
        ("GZIP", gzipped(BODY[:9]) + gzipped(b"") + gzipped(BODY[9:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("identity", BODY),
    ],
)
async def test_compressed_bodies_arrive_plain(door: Door, wire: Wire, encoding: str, body: bytes) -> None:
    assert (await wire.post(body, more=[f"Content-Encoding: {encoding}"])).status == 200
    assert door.intake.taken[0].body == BODY


@pytest.mark.parametrize(
    ("encoding", "body", "code"),
    [
        ("gzip", gzipped(BODY)[:-1], "bad_payload"),
        ("gzip", gzipped(BODY)[:20], "bad_payload"),
        ("gzip", gzipped(BODY) + b"tail", "bad_payload"),
        ("gzip", gzipped(BODY) + b"\0", "bad_payload"),
        ("gzip", b"", "bad_payload"),
        ("gzip", BODY, "bad_payload"),
        ("deflate", BODY, "bad_payload"),
        ("gzip", gzipped(b" " * (4 * CAP + 1)), "too_large"),
        ("gzip", gzipped(b" " * 500_000), "too_large"),
        ("gzip", gzipped(b" " * (3 * CAP)) * 2, "too_large"),
        ("deflate", zlib.compress(b" " * 500_000), "too_large"),
        ("br", BODY, "unsupported_media"),
        ("gzip, gzip", gzipped(BODY), "unsupported_media"),
    ],
)
async def test_compressed_bodies_that_are_refused(
    door: Door, wire: Wire, encoding: str, body: bytes, code: str
) -> None:
    answer = await wire.post(body, more=[f"Content-Encoding: {encoding}"])
    problem = orjson.loads(answer.body)
    status = {"bad_payload": 400, "too_large": 413, "unsupported_media": 415}[code]
    assert (answer.status, problem["code"]) == (status, code)
    if status == 413:
        assert (problem["limit"], problem["value"]) == ("http.max_inflated_bytes", 4 * CAP)
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert not door.intake.taken
    assert door.context.bodies.in_hand == 0


def test_exactly_the_limit_is_inflated_and_one_byte_more_is_not() -> None:
    body = b"x" * 1000
    assert inflate.inflate(gzip.compress(body), encoding="gzip", limit=1000) == body
    with pytest.raises(TooLarge):
        inflate.inflate(gzip.compress(body), encoding="gzip", limit=999)


def test_many_tiny_members_are_refused_not_worked_through() -> None:
    member = gzip.compress(b"")
    assert inflate.inflate(member * inflate.MAX_MEMBERS, encoding="gzip", limit=10) == b""
    with pytest.raises(BadPayload, match="members"):
        inflate.inflate(member * (inflate.MAX_MEMBERS + 1), encoding="gzip", limit=10)


def test_a_member_may_end_anywhere_in_a_window() -> None:
    bodies = [bytes([n % 251]) * (inflate.WINDOW // 3 + n) for n in range(7)]
    stored = b"".join(gzip.compress(body, compresslevel=0) for body in bodies)
    assert inflate.inflate(stored, encoding="gzip", limit=10**7) == b"".join(bodies)
