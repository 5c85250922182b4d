"""Compressed bodies as well-behaved and other clients send them: plain bytes, or a 4xx within bounds."""

import gzip
import zlib
from collections.abc import AsyncIterator

import orjson
import pytest
import pytest_asyncio
from backports import zstd

from tests.integration.tight import BODY, CAP, LIMITS
from tests.integration.web_server import Door, serving
from tests.integration.web_wire import Wire


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving(LIMITS) as door:
        yield door


def gzipped(data: bytes) -> bytes:
    """Without the time of its making, so that a test has the same name in every process."""
    return gzip.compress(data, mtime=0)


def raw_frame(data: bytes) -> bytes:
    """A zstd frame by hand, as RFC 8878 3.1.1 draws it: one raw block, its size in a byte, no checksum."""
    last_raw_block = (len(data) << 3 | 1).to_bytes(3, "little")
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + last_raw_block + data


SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0note"
"""A frame that holds nothing of the body (RFC 8878 3.1.2)."""


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
        ("zstd", zstd.compress(BODY)),
        ("ZSTD", zstd.compress(BODY[:9]) + SKIPPABLE + zstd.compress(b"") + zstd.compress(BODY[9:])),
        ("zstd", raw_frame(BODY)),
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
        ("zstd", zstd.compress(BODY)[:-1], "bad_payload"),
        ("zstd", zstd.compress(BODY)[:5], "bad_payload"),
        ("zstd", zstd.compress(BODY) + b"tail", "bad_payload"),
        ("zstd", zstd.compress(BODY) + b"\0", "bad_payload"),
        ("zstd", SKIPPABLE[:-1], "bad_payload"),
        ("zstd", b"", "bad_payload"),
        ("zstd", BODY, "bad_payload"),
        ("zstd", gzipped(BODY), "bad_payload"),
        ("zstd", zstd.compress(b" " * (4 * CAP + 1)), "too_large"),
        ("zstd", zstd.compress(b" " * 500_000), "too_large"),
        ("zstd", zstd.compress(b" " * (3 * CAP)) * 2, "too_large"),
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
        assert answer.headers["accept-encoding"] == "gzip, zstd, deflate"
    assert not door.intake.taken
    assert door.context.bodies.inflight_bytes == 0
