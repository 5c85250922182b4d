"""What a refused group is cut into, by the database's own words if they make sense; no row is lost by cutting."""

import asyncpg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.model import Block
from gateway.timescale.write.assemble import Sorted
from gateway.timescale.write.split import by_rows, count_rows, failed_row, halves, without


def refusal(context: str | None) -> asyncpg.PostgresError:
    exc = asyncpg.CheckViolationError("not this one")
    exc.context = context
    return exc


def parts_of(*sizes: int) -> list[Sorted]:
    """Parts of these many rows; the messages are numbered through."""
    parts, first = [], 0
    for size in sizes:
        ids, values = np.zeros(size, np.int32), np.zeros((size, 1))
        block = Block(["d"] * size, ids, ids, np.arange(size), values, np.zeros((size, 0), np.int64), ())
        parts.append(Sorted(block, np.arange(first, first + size)))
        first += size
    return parts


def messages(parts: list[Sorted]) -> list[int]:
    return [message for part in parts for message in part.messages.tolist()]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("context", "place"),
    [
        ("COPY messages, line 4", 3),
        ("COPY messages, line 1", 0),
        ("COPY messages, line 10", 9),
        ("PL/pgSQL function refuse() line 1 at RAISE\nCOPY messages, line 4, column x", 3),
        ("COPY messages, line 11", None),
        ("COPY messages, line 0", None),
        ("COPY stage, line 4", None),
        ("SQL statement", None),
        (None, None),
    ],
)
def test_the_row_that_the_database_names(context: str | None, place: int | None) -> None:
    assert failed_row(parts_of(4, 6), refusal(context)) == place


@given(SIZES.filter(lambda sizes: sum(sizes) > 1))
def test_halves_are_smaller_and_together_all(sizes: list[int]) -> None:
    first, second = halves(parts_of(*sizes))
    assert messages(first) + messages(second) == list(range(sum(sizes)))
    assert abs(count_rows(first) - count_rows(second)) <= 1


@given(SIZES, st.integers(1, 50))
def test_small_parts_are_small_and_together_all(sizes: list[int], size: int) -> None:
    pieces = by_rows(parts_of(*sizes), size)
    assert [message for piece in pieces for message in messages(piece)] == list(range(sum(sizes)))
    assert {count_rows(piece) for piece in pieces[:-1]} <= {size}
    assert 1 <= count_rows(pieces[-1]) <= size


@given(SIZES, st.data())
def test_what_is_left_out_is_left_out_and_nothing_else(sizes: list[int], data: st.DataObject) -> None:
    rows = sum(sizes)
    places = data.draw(st.lists(st.integers(0, rows - 1), unique=True, max_size=rows - 1))
    assert messages(without(parts_of(*sizes), places)) == sorted(set(range(rows)) - set(places))
