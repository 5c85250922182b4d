"""The ledger: receipts → what became of their readings, and the sums by source. Pure; counts readings, never messages.

received = stored + duplicates + conflicts + refused + dead_lettered + spooled + failed + queued + interrupted
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from gateway.domain.model import Receipt, Refusal
from gateway.domain.reasons import Reason


class Fate(NamedTuple):
    """What became of the readings of one body, or of one drained batch."""

    stored: int = 0
    """In the database since now."""
    duplicates: int = 0
    """Were there before, with the same values."""
    conflicts: int = 0
    """Others are stored under their keys, and were kept."""
    refused: int = 0
    """Not stored, and the sender knows."""
    dead_lettered: int = 0
    """Not stored, and kept as dead letters."""
    spooled: int = 0
    """On disk, and acknowledged from there."""
    failed: int = 0
    """Not taken: the sender has no answer, or one that says to send again."""


class Account(msgspec.Struct, frozen=True):
    """The readings of one source since the gateway started; the sum of everything but `received` is `received`."""

    received: int
    stored: int
    duplicates: int
    conflicts: int
    refused: int
    dead_lettered: int
    spooled: int
    failed: int
    queued: int
    """Taken in and not answered yet."""
    interrupted: int
    """What remains: readings that a worker had in hand when it was killed. Their senders send them again."""


class FromSpool(msgspec.Struct, frozen=True):
    """What became of readings that left the spool, of this run and of earlier ones."""

    stored: int
    duplicates: int
    conflicts: int
    dead_lettered: int


class Ledger(msgspec.Struct, frozen=True):
    """What became of every reading of one gateway, all its workers together."""

    sources: dict[str, Account]
    total: Account
    from_spool: FromSpool


def settle(
    receipt: Receipt,
    refusals: Sequence[Refusal],
    *,
    answers: bool,
    atomic: bool = False,
    spooled: int | None = None,
) -> Fate:
    """Return what became of the readings of a receipt; `refusals` are all of them, the receipt may list fewer.

    A source that `answers` (HTTP) tells its sender what is refused; one that does not (MQTT) keeps it as dead letters.
    What the database rejects is dead-lettered for both, unless the body was `atomic`: then it was rolled back.
    `spooled` is how many of the new readings wait on disk, if only some of them do.
    """
    new = receipt.accepted - receipt.duplicates
    if receipt.durability == "db" or spooled is None:
        spooled = new if receipt.durability == "spool" else 0
    buried = receipt.refused if not answers else 0 if atomic else _rejected(refusals)
    return Fate(
        stored=new - spooled,
        duplicates=receipt.duplicates,
        conflicts=receipt.conflicts,
        refused=receipt.refused - buried,
        dead_lettered=buried,
        spooled=spooled,
    )


def to_account(received: int, fate: Fate, *, queued: int) -> Account:
    """Return the account of a source from its sums."""
    return Account(received, *fate, queued=queued, interrupted=received - sum(fate) - queued)


def to_ledger(accounts: Mapping[str, Account], from_spool: FromSpool) -> Ledger:
    """Return the books, with the total over all sources."""
    columns = zip(*map(msgspec.structs.astuple, accounts.values()), strict=True)
    sums = [sum(column) for column in columns] or [0] * len(Account.__struct_fields__)
    return Ledger(dict(sorted(accounts.items())), Account(*sums), from_spool)


def _rejected(refusals: Sequence[Refusal]) -> int:
    return sum([one.readings for one in refusals if one.code == Reason.REJECTED_BY_DATABASE])
