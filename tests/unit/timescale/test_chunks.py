"""Windows of time and parts of groups: nothing is left out, nothing twice, and no part touches too many chunks."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.history import Span
from gateway.domain.model import Block
from gateway.timescale.chunks import EVER, Windows
from gateway.timescale.write.assemble import Sorted
from gateway.timescale.write.split import by_chunks, count_chunks

starts = st.lists(st.integers(-1000, 1000), unique=True, max_size=30).map(sorted)
spans = st.tuples(st.integers(-1100, 1100), st.integers(1, 2000)).map(lambda pair: Span(pair[0], sum(pair)))
most = st.integers(1, 5)


def touched(known: list[int], span: Span) -> int:
    """Chunks that a span may touch: those that begin in it, and the one that its start lies in."""
    before = sum(start <= span.start_us for start in known)
    return min(before, 1) + sum(span.start_us < start < span.end_us for start in known)


@given(known=starts, span=spans, most=most)
def test_windows_follow_each_other_and_hold_few_chunks(known: list[int], span: Span, most: int) -> None:
    found = Windows(known, most).over(span)
    assert (found[0].start_us, found[-1].end_us) == span
    assert all(one.end_us == two.start_us for one, two in pairwise(found))
    assert all(touched(known, window) <= most for window in found)


@given(known=starts, span=spans, most=most)
def test_the_first_and_the_last_part_hold_few_chunks(known: list[int], span: Span, most: int) -> None:
    windows = Windows(known, most)
    first, last = windows.first(span), windows.last(span)
    assert first.start_us == span.start_us < first.end_us <= span.end_us
    assert last.end_us == span.end_us > last.start_us >= span.start_us
    assert touched(known, first) <= most
    assert touched(known, last) <= most


@given(known=starts, span=spans, most=most, width=st.integers(1, 300))
def test_windows_are_cut_where_buckets_begin_if_a_bucket_fits(
    known: list[int], span: Span, most: int, width: int
) -> None:
    def edge(time: int) -> int:
        return time - time % width

    found = Windows(known, most).over(span, edge)
    assert (found[0].start_us, found[-1].end_us) == span
    assert all(touched(known, window) <= most for window in found)
    for one, two in pairwise(found):
        assert one.end_us == two.start_us
        assert edge(two.start_us) == two.start_us or edge(two.start_us) <= one.start_us


@given(known=starts, within=st.lists(spans, min_size=1, max_size=6), most=most)
def test_spans_are_asked_together_only_if_they_may_be(known: list[int], within: list[Span], most: int) -> None:
    windows = Windows(known, most)
    parts = [windows.first(span) for span in within]
    groups = windows.together(parts)
    assert sorted(at for group in groups for at in group) == list(range(len(parts)))
    for group in groups:
        reach = Span(min(parts[at].start_us for at in group), max(parts[at].end_us for at in group))
        assert touched(known, reach) <= most


@pytest.mark.parametrize("known", [[], [0], list(range(0, 1000, 10))])
def test_where_all_can_be_locked_there_is_one_window(known: list[int]) -> None:
    assert Windows(known, 100).over(EVER) == [EVER]


def parts_of(times: list[int]) -> list[Sorted]:
    made = np.array(times, np.int64)
    count = len(times)
    ones = np.ones(count, np.int32)
    block = Block(["d"] * count, ones, ones, made, np.ones((count, 1)), np.empty((count, 0), np.int64), ())
    return [Sorted(block, np.arange(count))]


@given(times=st.lists(st.integers(-500, 500), min_size=1, max_size=60), width=st.integers(1, 100), most=most)
def test_a_group_is_cut_by_time_and_keeps_its_order(times: list[int], width: int, most: int) -> None:
    parts = parts_of(times)
    found = by_chunks(parts, width, most)
    assert all(count_chunks(piece, width) <= most for piece in found)
    messages = [int(n) for piece in found for part in piece for n in part.messages]
    assert sorted(messages) == list(range(len(times)))
    assert all(list(part.messages) == sorted(part.messages) for piece in found for part in piece)
    assert [piece for piece in found if not piece] == []
    assert by_chunks(parts, None, most) == [parts]
