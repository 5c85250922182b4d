"""The reader of server-sent events: however the bytes are cut, the same events; never more memory than an event."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.watch import stream as sse
from simulator.watch.stream import BadStream, SseEvent, SseReader

STREAM = (
    b': ping\nretry: 2214\nevent: reset\nid: a-0-1\ndata: {"reason":"start"}\n\n'
    b": ping\n"
    b"event: change\ndata: one\ndata:two\ndata:  three\nid: a-5-2\nunknown: x\nretry: soon\n\n"
    b"event: nothing\nid: a-6-3\n\n"
    b"data: caf\xc3\xa9\nid: b\0c\n\n"
    b"data: not at its end"
)  # fmt: skip
EVENTS = [
    SseEvent("reset", '{"reason":"start"}', "a-0-1"),
    SseEvent("change", "one\ntwo\n three", "a-5-2"),
    SseEvent("message", "café", ""),
]


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_pieces_of_any_size_and_any_line_ends_give_the_same_events(cuts: list[int], end: bytes) -> None:
    stream = STREAM.replace(b"\n", end)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = SseReader()
    found = [event for a, b in pairwise(places) for event in reader.feed(stream[a:b])]
    assert found == EVENTS
    assert reader.retry_ms == 2214


@given(st.binary(max_size=300))
def test_any_bytes_are_events_or_nothing(noise: bytes) -> None:
    reader = SseReader()
    events = reader.feed(noise) + reader.feed(b"\n\ndata: after\n\n")
    assert events[-1].data.endswith("after")


def test_an_event_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    reader = SseReader()
    reader.feed(b"data: " + b"x" * 60 + b"\n")
    with pytest.raises(BadStream, match="does not end"):
        reader.feed(b"data: " + b"y" * 60)
    assert SseReader().feed((b"data: " + b"x" * 60 + b"\n\n") * 9)[8].data == "x" * 60
