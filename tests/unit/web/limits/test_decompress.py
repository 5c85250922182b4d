"""Compressed bytes within bounds, whatever they are."""

import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import BadPayload, TooLarge
from gateway.core.slices import at_once
from gateway.web.limits import decompress
from gateway.web.limits.decompress import ALWAYS_TAKEN, MAX_MEMBERS, PART, WINDOW, InflatedLimits

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress, "deflate": zlib.compress}
OF_MEMBERS = ("gzip", "zstd")
A_WINDOW_OF_8_MIB, OF_9_MIB = 0x68, 0x69
"""Window descriptors (RFC 8878 3.1.1.1.2): exponent 13 with no mantissa, and with an eighth more."""


def inflate(data: bytes, *, encoding: str, limit: int) -> bytes:
    return at_once(decompress.inflate(data, encoding=encoding, limits=InflatedLimits(limit), grown=lambda _: None))


@pytest.mark.parametrize("encoding", PACKERS)
def test_exactly_the_limit_is_inflated_and_one_byte_more_is_not(encoding: str) -> None:
    body = b"x" * 1000
    assert inflate(PACKERS[encoding](body), encoding=encoding, limit=1000) == body
    with pytest.raises(TooLarge):
        inflate(PACKERS[encoding](body), encoding=encoding, limit=999)


@pytest.mark.parametrize("encoding", OF_MEMBERS)
def test_many_tiny_members_are_refused_not_worked_through(encoding: str) -> None:
    member = PACKERS[encoding](b"")
    assert inflate(member * MAX_MEMBERS, encoding=encoding, limit=10) == b""
    with pytest.raises(BadPayload, match="members"):
        inflate(member * (MAX_MEMBERS + 1), encoding=encoding, limit=10)


def test_a_member_may_end_anywhere_in_a_window() -> None:
    bodies = [bytes([n % 251]) * (WINDOW // 3 + n) for n in range(7)]
    stored = b"".join(gzip.compress(body, compresslevel=0) for body in bodies)
    assert inflate(stored, encoding="gzip", limit=10**7) == b"".join(bodies)


@pytest.mark.parametrize("encoding", OF_MEMBERS)
@given(bodies=st.lists(st.binary(max_size=300), min_size=1, max_size=5), repeat=st.integers(1, 400))
def test_members_come_back_as_one_body(encoding: str, bodies: list[bytes], repeat: int) -> None:
    bodies = [body * repeat for body in bodies]
    packed = b"".join(PACKERS[encoding](body) for body in bodies)
    assert inflate(packed, encoding=encoding, limit=10**6) == b"".join(bodies)


@pytest.mark.parametrize("encoding", PACKERS)
@given(body=st.binary(max_size=400), data=st.data())
def test_a_body_cut_off_anywhere_is_refused(encoding: str, body: bytes, data: st.DataObject) -> None:
    packed = PACKERS[encoding](body)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(BadPayload):
        inflate(packed[:cut], encoding=encoding, limit=10**6)


@pytest.mark.parametrize("encoding", PACKERS)
@given(body=st.binary(max_size=400), junk=st.binary(max_size=40), at=st.integers(0, 100), limit=st.integers(0, 500))
def test_whatever_comes_is_within_the_limit_or_refused(
    encoding: str, body: bytes, junk: bytes, at: int, limit: int
) -> None:
    packed = PACKERS[encoding](body)
    try:
        found = inflate(packed[:at] + junk + packed[at:], encoding=encoding, limit=limit)
    except (BadPayload, TooLarge):
        return
    assert len(found) <= limit


def test_a_zstd_frame_may_ask_for_8_mib_and_no_more() -> None:
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([A_WINDOW_OF_8_MIB]) + b"\x09\0\0" + b"x"
    assert inflate(frame, encoding="zstd", limit=10) == b"x"
    with pytest.raises(BadPayload, match="too much memory"):
        inflate(frame.replace(b"\x68", bytes([OF_9_MIB])), encoding="zstd", limit=10)


def test_a_zstd_frame_that_was_altered_is_refused() -> None:
    packed = zstd.compress(b"abc" * 100, options={zstd.CompressionParameter.checksum_flag: 1})
    with pytest.raises(BadPayload, match="checksum"):
        inflate(packed[:-1] + bytes([packed[-1] ^ 1]), encoding="zstd", limit=1_000)


@pytest.mark.parametrize("encoding", PACKERS)
def test_what_comes_of_a_body_is_bounded_by_what_was_sent(encoding: str) -> None:
    body = b"x" * (ALWAYS_TAKEN + 1)
    packed = PACKERS[encoding](body)
    fair = InflatedLimits(10**9, ratio=-(-len(body) // len(packed)))
    strict = InflatedLimits(10**9, ratio=1)
    assert at_once(decompress.inflate(packed, encoding=encoding, limits=fair, grown=lambda _: None)) == body
    with pytest.raises(TooLarge) as refused:
        at_once(decompress.inflate(packed, encoding=encoding, limits=strict, grown=lambda _: None))
    assert refused.value.details == {"limit": "http.max_inflated_ratio", "value": ALWAYS_TAKEN}
    assert "compress it less" in refused.value.message
    least = PACKERS[encoding](body[:-1])
    assert at_once(decompress.inflate(least, encoding=encoding, limits=strict, grown=lambda _: None)) == body[:-1]


@pytest.mark.parametrize("encoding", PACKERS)
def test_no_step_makes_much_and_what_has_come_is_told(encoding: str) -> None:
    body = bytes(PART) * 20
    told = [0]
    steps = decompress.inflate(
        PACKERS[encoding](body), encoding=encoding, limits=InflatedLimits(10**9), grown=told.append
    )
    assert at_once(steps) == body
    assert told[-1] == len(body)
    assert max(after - before for before, after in pairwise(told)) <= PART
