"""Any bytes in the state: a message that can be told on, or one of the errors that say that they are not ours."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.timestamps import MAX_US, to_rfc3339
from gateway.domain.contracts.newest import NewestMessage
from gateway.state import codec

TIMES = st.floats() | st.floats(0, 1e16)


def packed(time: float, counts: tuple[int, int, int], rest: bytes) -> bytes:
    return codec.HEAD.pack(time, *counts) + rest


@given(
    field=st.binary(max_size=6) | st.just(b"\0\0\0\1"),
    message=st.binary(max_size=60)
    | st.builds(packed, TIMES, st.tuples(*[st.integers(0, 3)] * 3), st.binary(max_size=60)),
)
@example(field=b"\0\0\0\1", message=packed(float("nan"), (0, 0, 0), b""))
@example(field=b"\0\0\0\1", message=packed(float("inf"), (0, 0, 0), b""))
@example(field=b"\0\0\0\1", message=packed(-1.0, (0, 0, 0), b""))
@example(field=b"\0\0\0\1", message=packed(1e300, (0, 0, 0), b""))
@example(field=b"\0\0\0\1", message=packed(1.0, (0, 0, 1), struct.pack(">I", 5) + b"abc"))
@example(field=b"\0\0\0\1", message=packed(1.0, (0, 0, 1), struct.pack(">I", 1) + b"\xff"))
def test_any_bytes_are_a_message_or_not_ours(field: bytes, message: bytes) -> None:
    try:
        found = codec.unpack(field, message)
    except codec.NOT_OURS:
        return
    assert 0 <= found.time_us <= MAX_US
    assert to_rfc3339(found.time_us)
    assert all(isinstance(text, str) for text in found.texts)


@given(pairs=st.lists(st.tuples(*[st.binary(max_size=30) | st.just(codec.MARK)] * 2), max_size=4))
def test_any_fields_of_a_device_are_messages_or_not_ours(pairs: list[tuple[bytes, bytes]]) -> None:
    try:
        found = codec.unpack_all([part for pair in pairs for part in pair])
    except codec.NOT_OURS:
        return
    assert found is None or all(isinstance(one, NewestMessage) for one in found)


@pytest.mark.parametrize("time", [float("nan"), float("inf"), float("-inf"), -1.0, 1e18])
def test_a_time_that_is_none_is_said(time: float) -> None:
    with pytest.raises(codec.NotOursError, match="time"):
        codec.unpack(b"\0\0\0\1", packed(time, (0, 0, 0), b""))
