"""A JSON text through a window is what the standard library's decoder makes of it at once, or is refused like there."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import BadPayload, TooLarge
from gateway.core.slices import at_once
from gateway.domain.json_text import Repeated, as_posted
from gateway.ingest.wire import json_stream
from gateway.ingest.wire.json_stream import JsonStream
from tests.property.bodies import bodies, dump, hostile, items, mutated

many = settings(max_examples=300, deadline=None)


def plain(found: Any) -> Any:
    """What was found, with every pair of an object that repeats a key; texts of numbers, as NaN is not itself."""
    if isinstance(found, Repeated):
        return [(key, plain(value)) for key, value in found.pairs]
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    if isinstance(found, list):
        return [plain(one) for one in found]
    return repr(found)


def through(body: bytes, window: int) -> Any:
    stream = JsonStream(body, lambda _: None, window=window)
    found = [element.value for element in stream.elements() if element is not None]
    return found if stream.is_array else found[0]


@many
@given(body=hostile() | mutated() | bodies(items()).map(lambda posted: posted[0]), window=st.integers(16, 200))
@example(body=b"[1.5e+10, -0.0, 12345678901234567890, NaN, -Infinity, true, null]", window=16)
@example(body=b'{"a": [1, 2, 3, 4, 5, 6, 7, 8], "a": {"b": 1, "b": 2}, "c": "\\ud83d\\ude00 \\\\ \\""}', window=16)
@example(body='["größe größe größe", "\U0001f600\U0001f600\U0001f600\U0001f600"]'.encode(), window=16)
@example(body=b'[",,,,,,,,,", "],[", "},{", {"k": "],"}]', window=16)
@example(body=b"[1, 2,]", window=16)
@example(body=b"[, 1]", window=16)
@example(body=b'{"a": 1,, "b": 2}', window=16)
@example(body=b"[1 2]", window=16)
@example(body=b"[[1], [2]] x", window=16)
@example(body=b'["a\nb"]', window=16)
@example(body=b'["\xff"]', window=16)
@example(body=b"[1] \xff", window=16)
def test_a_window_shows_what_the_whole_text_says(body: bytes, window: int) -> None:
    try:
        expected = plain(json.loads(body.decode(), object_pairs_hook=as_posted))
    except (ValueError, RecursionError):
        with pytest.raises((BadPayload, TooLarge)):
            through(body, window)
        return
    assert plain(through(body, window)) == expected


@many
@given(found=st.recursive(st.integers() | st.text(), lambda inner: st.lists(inner, max_size=30), max_leaves=200))
def test_elements_that_are_read_together_are_those_that_are_read_apart(found: Any) -> None:
    body = dump([found])
    assert through(body, 64) == through(body, 10**6) == [found]


def test_a_text_that_never_ends_is_not_gathered_for_ever() -> None:
    body = b'["' + b"x" * (json_stream.MAX_TOKEN_BYTES * 2)
    with pytest.raises(TooLarge, match="longer than"):
        through(body, json_stream.WINDOW)


def test_what_does_not_fit_into_a_window_may_not_be_nested_for_ever() -> None:
    body = (b'[{"a":' + b" " * 20) * 200
    with pytest.raises(BadPayload, match="nested"):
        through(body, 16)


def test_elements_are_counted_as_they_come() -> None:
    counted: list[int] = []
    stream = JsonStream(dump({"ts": list(range(1000))}), counted.append, window=64)
    at_once(iter_steps(stream))
    assert sum(counted) == 1001


def iter_steps(stream: JsonStream) -> Any:
    for _ in stream.elements():
        yield
