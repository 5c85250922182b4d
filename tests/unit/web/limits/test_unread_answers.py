"""UnreadAnswers: however many readers take nothing, what waits for them is bounded, and who waits longest goes."""

import asyncio

import pytest

from gateway.core.errors import Overloaded
from gateway.core.settings import HttpSettings
from gateway.web.limits import unread_answers
from gateway.web.limits.unread_answers import PIECE_BYTES, UnreadAnswers

MOST = 2**20
NEVER = 3600.0


class SlowReader:
    """Takes nothing."""

    def __init__(self, stall_secs: float = NEVER) -> None:
        self.stall_secs = stall_secs
        self.is_cut = asyncio.Event()

    def cut_off(self) -> None:
        self.is_cut.set()


def answers(most: int = MOST) -> UnreadAnswers:
    return UnreadAnswers(HttpSettings(max_unread_bytes=most))


async def test_ten_thousand_that_take_nothing_hold_no_more_than_the_budget() -> None:
    unread = answers()
    readers = [SlowReader() for _ in range(10_000)]
    for reader in readers:
        unread.wait(reader, PIECE_BYTES)
        assert unread.bytes <= MOST
    left = [not reader.is_cut.is_set() for reader in readers]
    assert left == [False] * (10_000 - MOST // PIECE_BYTES) + [True] * (MOST // PIECE_BYTES)


async def test_who_takes_everything_owes_nothing() -> None:
    unread = answers()
    reader = SlowReader()
    for _ in range(100):
        unread.wait(reader, PIECE_BYTES)
        unread.taken(reader)
        unread.taken(reader)
    assert (unread.bytes, reader.is_cut.is_set()) == (0, False)


async def test_who_is_slow_for_too_long_is_cut_off_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread_answers, "LOOK_SECS", 0.01)
    unread = answers()
    slow, patient = SlowReader(stall_secs=0.01), SlowReader()
    unread.wait(patient, 10)
    unread.wait(slow, 10)
    await asyncio.wait_for(slow.is_cut.wait(), 5)
    assert not patient.is_cut.is_set()
    assert unread.bytes == 10


async def test_a_large_answer_counts_whole_until_it_is_sent_or_its_reader_cut_off() -> None:
    unread = answers()
    one, other = SlowReader(), SlowReader()
    with unread.hold(one, MOST - 10):
        unread.wait(one, 5)
        assert unread.bytes == MOST - 5
        unread.wait(other, 10)  # too much: who waits longest goes, with all that is held for it
        assert one.is_cut.is_set()
        assert unread.bytes == 10
    assert unread.bytes == 10
    with unread.hold(other, 100):
        pass
    assert unread.bytes == 10


async def test_a_large_answer_is_refused_where_readers_are_slow_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unread = answers()
    reader = SlowReader()
    unread.refuse_if_full(2 * MOST)  # alone it is let through, however large
    unread.wait(reader, MOST // 2)
    unread.refuse_if_full(MOST // 2)
    with pytest.raises(Overloaded) as caught:
        unread.refuse_if_full(MOST // 2 + 1)
    assert caught.value.details == {"limit": "http.max_unread_bytes", "value": MOST}
    assert not reader.is_cut.is_set()
    monkeypatch.setattr(unread_answers, "GRACE_SECS", 0.0)
    unread.refuse_if_full(MOST // 2 + 1)
    assert reader.is_cut.is_set()
