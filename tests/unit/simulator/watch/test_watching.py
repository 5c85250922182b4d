"""Reading beside a load, from a server that shows little, nothing, or stops doing so."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.core.errors import ConnectionLost
from simulator.send.drivers.http_connection import HttpStream

OK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(text: str) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text.encode()), text.encode())


@given(body=st.lists(st.text("abc\n\u00e9", min_size=1, max_size=9), max_size=5), cuts=st.lists(st.integers(0, 300)))
async def test_a_body_comes_whole_however_it_is_cut(body: list[str], cuts: list[int]) -> None:
    data = OK + b"".join(map(chunk, body))
    source = asyncio.StreamReader()
    stream = HttpStream(source, silence=5)
    for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        source.feed_data(data[a:b])
    source.feed_data(b"0\r\n\r\n")
    await stream.begin()
    assert stream.status == 200
    assert b"".join([piece async for piece in stream.pieces()]).decode() == "".join(body)


async def test_a_body_that_is_cut_off_or_falls_silent_is_a_lost_connection() -> None:
    source = asyncio.StreamReader()
    source.feed_data(OK + chunk("one") + b"5\r\ntw")
    stream = HttpStream(source, silence=0.05)
    await stream.begin()
    pieces = stream.pieces()
    assert await anext(pieces) == b"onetw"
    with pytest.raises(ConnectionLost, match=r"nothing came for 0\.05 s"):
        await anext(pieces)
    source.feed_eof()
    with pytest.raises(ConnectionLost, match="closed by the peer"):
        await anext(stream.pieces())
