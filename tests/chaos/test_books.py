"""The check of the books itself: it must see what does not balance, and wait for what only takes its time."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from tests.chaos.books import ENOUGH, Books

SETTLE_SECS = 1.0


def ledger(interrupted: int = 0, *, stored: int = 10, spooled: int = 0, drained: int = 0) -> dict[str, Any]:
    account = {"interrupted": interrupted, "stored": stored, "duplicates": 0, "spooled": spooled}
    return {"sources": {"http": account}, "total": account, "from_spool": {"stored": drained}}


def reading(*said: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """What is said once after the other; the last one for ever."""
    rest = list(said)
    return lambda: rest.pop(0) if len(rest) > 1 else rest[0]


def books(*said: dict[str, Any]) -> Books:
    return Books(reading(*said), settle_secs=SETTLE_SECS)


def after_worker(interrupted: Sequence[int]) -> Books:
    """Books that say these numbers, each as often as it takes to be believed, after a worker was killed."""
    made = books(*(ledger(number) for number in interrupted for _ in range(ENOUGH)))
    assert made.check("worker") == []
    return made


def test_what_balances_balances() -> None:
    made = books(ledger())
    assert made.check("nothing") == made.check("gateway") == made.close({"http": 10}) == []
    assert made.unbalanced == 0


def test_numbers_that_are_apart_for_a_moment_are_waited_for() -> None:
    assert books(ledger(5), ledger(-3), ledger()).check("nothing") == []


def test_readings_that_stay_unanswered_are_seen() -> None:
    made = books(ledger(5))
    assert "do not balance" in made.check("nothing")[0]
    assert made.unbalanced == 1


def test_what_a_killed_worker_had_in_hand_stays_as_it_is() -> None:
    made = after_worker([7])
    assert made.check("nothing") == []
    made = after_worker([7, 9])
    assert "do not balance" in made.check("nothing")[0]


def test_what_is_under_way_after_a_worker_was_killed_is_not_taken_for_the_books() -> None:
    made = books(*(ledger(number) for number in (-14, -14, -14, 0, 14)), ledger(0))
    assert made.check("worker") == []
    assert made.check("nothing") == []


def test_a_killed_worker_answers_nothing_afterwards() -> None:
    made = after_worker([7, 3])
    assert made.check("worker") != []


def test_a_new_gateway_begins_at_zero() -> None:
    made = after_worker([7])
    assert "do not balance" in made.check("gateway")[0]


def test_what_was_spooled_and_not_drained_is_seen_in_the_end() -> None:
    assert books(ledger(spooled=4, drained=4)).close({"http": 14}) == []
    assert "4 readings were spooled, and 3 drained" in books(ledger(spooled=4, drained=3)).close({})[0]


def test_more_acknowledgements_than_were_accepted_are_seen_in_the_end() -> None:
    assert "only 10 are in the books" in books(ledger()).close({"http": 11})[0]


def test_books_that_cannot_be_read_are_no_balance() -> None:
    def read() -> dict[str, Any]:
        raise httpx.ConnectError("gone")

    assert Books(read, settle_secs=SETTLE_SECS).check("nothing") == ["the books could not be read"]
