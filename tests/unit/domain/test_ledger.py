"""The books: what a receipt says became of its readings, and the sums."""

import pytest

from gateway.domain.ledger import Account, Fate, FromSpool, settle, to_account, to_ledger
from gateway.domain.model import Receipt, Refusal
from gateway.domain.reasons import Reason

REFUSALS = [
    Refusal(0, "/0", Reason.TOO_OLD, "m", readings=3),
    Refusal(1, "/1", Reason.CONFLICT, "m", readings=4),
    Refusal(2, "/2", Reason.REJECTED_BY_DATABASE, "m", readings=5),
]


def receipt(durability: str = "db") -> Receipt:
    return Receipt(20, 7, 4, 3 + 5, durability, [], errors_truncated=True)


@pytest.mark.parametrize(
    ("answers", "atomic", "fate"),
    [
        (True, False, Fate(13, 7, 4, refused=3, dead_lettered=5)),
        (True, True, Fate(13, 7, 4, refused=8, dead_lettered=0)),
        (False, False, Fate(13, 7, 4, refused=0, dead_lettered=8)),
    ],
)
def test_every_reading_of_a_receipt_has_one_fate(answers: bool, atomic: bool, fate: Fate) -> None:
    assert settle(receipt(), REFUSALS, answers=answers, atomic=atomic) == fate
    assert sum(fate) == 32


def test_what_the_spool_took_is_not_stored_yet() -> None:
    said = Receipt(20, 0, 0, 3, "spool", [], errors_truncated=True)
    assert settle(said, REFUSALS[:1], answers=True) == Fate(spooled=20, refused=3)


def test_what_remains_is_unanswered() -> None:
    account = to_account(100, Fate(10, 20, 30, 5, 6, 7, 8), queued=9)
    assert account == Account(100, 10, 20, 30, 5, 6, 7, 8, queued=9, interrupted=5)


def test_the_total_is_over_all_sources() -> None:
    one, two = to_account(10, Fate(4), queued=1), to_account(7, Fate(0, 6), queued=0)
    books = to_ledger({"mqtt": two, "http": one}, FromSpool(1, 2, 3, 4))
    assert list(books.sources) == ["http", "mqtt"]
    assert books.total == to_account(17, Fate(4, 6), queued=1)
    assert to_ledger({}, FromSpool(0, 0, 0, 0)).total == to_account(0, Fate(), queued=0)
