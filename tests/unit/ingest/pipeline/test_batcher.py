"""What waits for a commit: what is refused, what is taken together, what is counted."""

import asyncio

import pytest

from gateway.core import settings
from gateway.domain.layouts import Layouts
from gateway.domain.model import Outcome
from gateway.ingest.pipeline import batcher
from gateway.ingest.pipeline.batcher import Batcher, QueuedBatch
from tests.builders.batches import Message, batch


class Queue:
    """A batcher with names for what waits."""

    def __init__(self, *, max_rows: int = 100, max_bytes: int = 10**6, commit_rows: int = 10) -> None:
        self.batcher = Batcher(settings.QueueSettings(max_rows=max_rows, max_bytes=max_bytes, commit_rows=commit_rows))
        self.tickets: dict[str, asyncio.Future[Outcome]] = {}
        self._layouts = Layouts()

    def add(
        self, name: str, rows: int, *, size: int = 1, atomic: bool = False, since: float = 0.0, backfill: bool = False
    ) -> None:
        messages: list[Message] = [(name, i, {"a": 0.5}) for i in range(rows)]
        self.tickets[name] = asyncio.get_running_loop().create_future()
        self.batcher.add(
            QueuedBatch(batch(self._layouts, *messages), self.tickets[name], size, atomic, since, backfill)
        )

    def take(self, now: float = 0.0, *, backfill: bool = True) -> str:
        return " ".join(waiting.batch.devices[0] for waiting in self.batcher.take(now, backfill=backfill))


async def test_everything_that_fits_is_taken_in_order() -> None:
    queue = Queue(commit_rows=10)
    for name, rows in (("a", 4), ("b", 6), ("c", 1), ("d", 11), ("e", 1)):
        queue.add(name, rows)
    assert [queue.take() for _ in range(5)] == ["a b", "c", "d", "e", ""]


async def test_an_atomic_batch_goes_alone() -> None:
    queue = Queue()
    queue.add("a", 1)
    queue.add("B", 1, atomic=True)
    queue.add("C", 1, atomic=True)
    queue.add("d", 1)
    queue.add("e", 1)
    assert [queue.take() for _ in range(4)] == ["a", "B", "C", "d e"]


async def test_a_commit_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "COMMIT_BYTES", 100)
    queue = Queue()
    for name, size in (("a", 40), ("b", 60), ("c", 1), ("d", 500), ("e", 1)):
        queue.add(name, 1, size=size)
    assert [queue.take() for _ in range(4)] == ["a b", "c", "d", "e"]


async def test_batches_whose_sender_is_gone_are_left_out() -> None:
    queue = Queue(commit_rows=4)
    for name in "abcd":
        queue.add(name, 2, atomic=name == "b")
    for name in "abd":
        queue.tickets[name].cancel()
    assert [queue.take(), queue.take()] == ["c", ""]
    assert (queue.batcher.rows, queue.batcher.size, len(queue.batcher)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "size", "limit"),
    [
        (4, 40, None),
        (5, 40, "queue.max_rows"),
        (4, 41, "queue.max_bytes"),
        (5, 41, "queue.max_rows"),
        (0, 0, None),
    ],
)
async def test_what_would_pass_a_limit_is_refused_by_its_name(rows: int, size: int, limit: str | None) -> None:
    queue = Queue(max_rows=10, max_bytes=100)
    queue.add("a", 6, size=60)
    assert queue.batcher.refuses(rows, size) == limit


async def test_an_empty_queue_takes_a_batch_of_any_size() -> None:
    queue = Queue(max_rows=1, max_bytes=1)
    assert queue.batcher.refuses(1000, 1000) is None
    queue.add("a", 5, size=1000)
    assert queue.batcher.refuses(1, 1) == "queue.max_rows"
    assert queue.take() == "a"
    assert queue.batcher.refuses(1, 1) is None


async def test_rows_and_bytes_are_what_waits() -> None:
    queue = Queue(commit_rows=3)
    queue.add("a", 2, size=20)
    queue.add("b", 3, size=30)
    assert (queue.batcher.rows, queue.batcher.size, len(queue.batcher)) == (5, 50, 2)
    queue.take()
    assert (queue.batcher.rows, queue.batcher.size, len(queue.batcher)) == (3, 30, 1)


async def test_backfill_is_taken_when_nothing_else_waits_and_in_small_commits() -> None:
    queue = Queue(commit_rows=12)
    for name in "ABCD":
        queue.add(name, 2, backfill=True)
    queue.add("a", 8)
    queue.add("b", 4)
    assert [queue.take() for _ in range(6)] == ["a b", "A", "B", "C", "D", ""]
    assert (queue.batcher.rows, queue.batcher.size, len(queue.batcher)) == (0, 0, 0)


async def test_backfill_is_left_where_it_is_while_another_slot_is_busy_with_it() -> None:
    queue = Queue()
    queue.add("A", 1, backfill=True)
    assert not queue.batcher.holds(backfill=False)
    assert queue.take(backfill=False) == ""
    queue.add("a", 1)
    assert queue.batcher.holds(backfill=False)
    assert queue.take(100.0, backfill=False) == "a"
    assert queue.batcher.holds(backfill=True)
    assert queue.take() == "A"


async def test_backfill_gets_a_commit_now_and_then_however_much_comes() -> None:
    queue = Queue(commit_rows=4)
    for i in range(50):
        queue.add(f"a{i}", 4)
    for name in "ABC":
        queue.add(name, 1, backfill=True)
    taken = [queue.take(now / 2) for now in range(20)]  # every half second, for ten
    assert {name: taken.index(name) / 2 for name in "ABC"} == {"A": 2.5, "B": 5.0, "C": 7.5}


@pytest.mark.parametrize(
    ("rows", "size", "limit"),
    [(15, 40, None), (16, 40, "queue.max_rows"), (15, 41, "queue.max_bytes")],
)
async def test_backfill_may_wait_while_less_than_a_quarter_is_taken(rows: int, size: int, limit: str | None) -> None:
    queue = Queue(max_rows=100, max_bytes=400)
    assert queue.batcher.refuses(1000, 1000, backfill=True) is None, "an empty queue takes any batch"
    queue.add("a", 10, size=60)
    assert queue.batcher.refuses(rows, size, backfill=True) == limit
    assert queue.batcher.refuses(rows, size) is None
