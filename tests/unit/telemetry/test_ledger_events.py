"""The books: counted where readings come in and where they leave, and merged over processes."""

from random import Random

import msgspec
import pytest

from gateway.domain.layouts import Layouts
from gateway.domain.ledger import Account, Fate, FromSpool
from gateway.domain.model import Batch, Outcome
from gateway.ingest.pipeline.drainer import Drainer
from gateway.telemetry import ledger_events
from tests.builders.batches import Message, batch
from tests.fakes.spool import MemorySpool

pytestmark = pytest.mark.usefixtures("made_up_labels")


async def test_what_is_in_hand_is_queued_and_then_what_it_was_settled_as() -> None:
    with ledger_events.InHand("settled", 10) as hand:
        account = ledger_events.read().sources["settled"]
        assert (account.received, account.queued, account.interrupted) == (10, 10, 0)
        hand.settle(Fate(4, 3, refused=2, dead_lettered=1))
    account = ledger_events.read().sources["settled"]
    assert account == Account(10, 4, 3, 0, 2, 1, 0, 0, queued=0, interrupted=0)


@pytest.mark.parametrize("exc", [RuntimeError(), KeyboardInterrupt()])
async def test_what_is_not_settled_has_failed(exc: BaseException) -> None:
    source = type(exc).__name__
    with pytest.raises(type(exc)), ledger_events.InHand(source, 10):
        raise exc
    account = ledger_events.read().sources[source]
    assert (account.failed, account.queued, account.interrupted) == (10, 0, 0)


async def test_a_drained_batch_is_counted_by_what_became_of_it() -> None:
    layouts, spool, before = Layouts(), MemorySpool(), ledger_events.read().from_spool
    messages: list[Message] = [("d", i, {"a": 1.5, "b": 2.5}) for i in range(6)]
    await spool.append([batch(layouts, *messages)])

    async def store(_: object) -> list[Outcome]:
        return [Outcome(8, duplicates=4, conflicts=[1], rejected=[(5, "no")])]

    async def bury(_: Batch, __: Outcome) -> None:
        return

    drainer = Drainer([spool], store, bury=bury, busy=lambda: False, rng=Random(1), max_rows=10)
    assert await drainer._round(spool)
    now = ledger_events.read().from_spool
    change = [new - old for new, old in zip(*map(msgspec.structs.astuple, (now, before)), strict=True)]
    assert FromSpool(*change) == FromSpool(stored=4, duplicates=4, conflicts=2, dead_lettered=2)
