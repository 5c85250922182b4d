"""JSON of clients: what is passed over, and what is said of the rest, by every reader of it."""

from collections.abc import Callable

import msgspec
import pytest

from gateway.core.errors import BadPayload, BadRequest, ClientError
from gateway.domain.device_import import NDJSON, parse
from gateway.domain.json_text import MARK, decode, fault
from gateway.web.handlers.newest import parse_query
from gateway.web.handlers.websockets import to_request

_tags = msgspec.json.Decoder(dict[str, list[dict[str, str]] | str])


def _row(body: bytes) -> object:
    [row] = parse(body, NDJSON)
    if row.problem is not None:
        raise row.problem
    return row


READERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (lambda body: decode(_tags, body), b'{"k": "v", "l": "w"}'),
    (_row, b'{"device": "d", "tags": {"k": "v"}}'),
    (parse_query, b'{"devices": ["d:1", "d:2"], "metrics": ["a"]}'),
    (lambda body: to_request(body.decode()), b'{"type": "unsubscribe", "id": "x"}'),
]


@pytest.mark.parametrize(("read", "good"), READERS)
def test_a_byte_order_mark_and_line_ends_say_nothing(read: Callable[[bytes], object], good: bytes) -> None:
    assert read(MARK + good + b"\r") == read(good)


@pytest.mark.parametrize(("read", "good"), READERS)
def test_a_key_that_stands_twice_is_refused_and_named(read: Callable[[bytes], object], good: bytes) -> None:
    key = good[1:].partition(b":")[0].strip()
    with pytest.raises(BadRequest, match=f"/{key.decode().strip(chr(34))} stands more than once"):
        read(good[:-1] + b", " + good[1:])


@pytest.mark.parametrize(("read", "good"), READERS)
@pytest.mark.parametrize("end", [b"\0", b"\0\r", b"\0\0"])
def test_a_nul_at_the_end_is_named(read: Callable[[bytes], object], good: bytes, end: bytes) -> None:
    with pytest.raises(BadPayload, match="NUL"):
        read(good + end)


@pytest.mark.parametrize(("read", "good"), READERS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_another_encoding_is_named(read: Callable[[bytes], object], good: bytes, encoding: str) -> None:
    with pytest.raises(BadPayload, match="UTF-16; send UTF-8"):
        read(good.decode().encode(encoding))
    assert fault(b"\xff\xfe" + good.decode().encode("utf-16-le")) == "it is UTF-16; send UTF-8"


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"k": [{"a/b": "1", "a/b" : "2"}]}', "/k/0/a~1b"),
        (b'{"k": "1", "k": [{"a": "1", "a": "2"}]}', "/k"),
        (b'{"k": "1", "\\u006b": "2"}', "/k"),
    ],
)
def test_the_place_is_a_pointer(body: bytes, place: str) -> None:
    with pytest.raises(BadRequest) as told:
        decode(_tags, body)
    assert told.value.details == {"parameter": place}


@pytest.mark.parametrize("body", [b'{"a": "b: c", "b": "\\":", "c": "a\\" :"}', b'{"a": [{"a": "1"}, {"a": "1"}]}'])
def test_what_only_looks_like_a_key_is_none(body: bytes) -> None:
    assert decode(_tags, body)


@pytest.mark.parametrize("body", [b"", b" \r\n", MARK])
def test_nothing_is_called_empty(body: bytes) -> None:
    with pytest.raises(ClientError, match="it is empty"):
        decode(_tags, body)
