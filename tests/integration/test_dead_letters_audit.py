"""The audit of dead letters: in the transaction of each act, or neither is; one line a call, however many letters."""

from collections.abc import AsyncIterator

import pytest

from gateway.core.errors import SinkFault, SinkUnavailable
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter, StoredDeadLetter
from gateway.domain.model import Receipt
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.dead_letters import browse
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from gateway.timescale.registry.audit import AuditLog
from tests.integration.writing import SOON, execute
from tests.servers.databases import Database

ROWS = 5
REFUSE = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no audit'; end $$;
create trigger refuse before insert on audit for each row execute function refuse()
"""


class Scripted:
    """An intake that stores what it is given, refuses a body "no", and is away for a body "later"."""

    def at_once(self, body: bytes, **_: object) -> None:
        """Nothing is taken at once here."""

    async def take(self, body: bytes, **_: object) -> Receipt:
        if body == b"later":
            raise SinkUnavailable
        if body == b"no":
            raise ValueError(body)
        return Receipt(1, 0, 0, 0, "db", [], errors_truncated=False)


@pytest.fixture
async def pool(plain_db: Database) -> AsyncIterator[Pool]:
    async with open_pool(plain_db.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool:
        yield pool


async def keep(pool: Pool, *bodies: bytes) -> list[int]:
    letters = [DeadLetter("mqtt", "too_old", "why", "d1", body, f"t/{i}") for i, body in enumerate(bodies)]
    for letter in letters:
        await TimescaleDeadLetters(pool).put([letter])
    return await StoredDeadLetters(pool).open_ids(DeadLetterFilter())


async def noted(pool: Pool) -> list[tuple[str, str, str, dict[str, object]]]:
    return [(one.actor, one.action, one.target, one.detail) for one in reversed(await AuditLog(pool).page())]


def redelivery(pool: Pool) -> DeadLetterReplay:
    return DeadLetterReplay(Scripted(), StoredDeadLetters(pool))


async def test_one_and_many_have_one_line_each(pool: Pool) -> None:
    first, second, *_ = await keep(pool, b"yes", b"no", b"yes", b"yes")
    await redelivery(pool).one(first, actor="a")
    await redelivery(pool).one(second, actor="b")
    await redelivery(pool).some(DeadLetterFilter(), actor="c")
    await redelivery(pool).some(DeadLetterFilter(code="conflict"), actor="nobody: there is none")
    assert await noted(pool) == [
        ("a", "dead_letter.replay", str(first), {"replayed": 1, "refused": 0}),
        ("b", "dead_letter.replay", str(second), {"replayed": 0, "refused": 1}),
        ("c", "dead_letter.replay", "", {"replayed": 2, "refused": 1}),
    ]


async def test_a_run_that_breaks_off_has_noted_what_it_marked(pool: Pool) -> None:
    await keep(pool, b"yes", b"yes", b"later", b"yes")
    with pytest.raises(SinkUnavailable):
        await redelivery(pool).some(DeadLetterFilter(), actor="c")
    assert await noted(pool) == [("c", "dead_letter.replay", "", {"replayed": 2, "refused": 0})]


async def test_without_its_line_nothing_is_marked_or_removed(pool: Pool, plain_db: Database) -> None:
    number, *_ = await keep(pool, b"yes", b"yes")
    await execute(plain_db.url, REFUSE)
    box = StoredDeadLetters(pool)
    with pytest.raises(SinkFault):
        await redelivery(pool).one(number)
    with pytest.raises(SinkFault):
        await box.remove(number)
    with pytest.raises(SinkFault):
        await box.purge(DeadLetterFilter())
    letters: list[StoredDeadLetter] = await box.page(DeadLetterFilter())
    assert [letter.replayed_at for letter in letters] == [None, None]


async def test_a_purge_in_many_steps_is_one_line(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "REMOVE_AT_ONCE", 2)
    number, *_ = await keep(pool, *[b"%d" % i for i in range(ROWS)])
    await StoredDeadLetters(pool).remove(number, actor="a")
    assert await StoredDeadLetters(pool).purge(DeadLetterFilter(device="d1"), actor="b") == ROWS - 1
    assert await StoredDeadLetters(pool).purge(DeadLetterFilter(device="d1"), actor="c") == 0
    assert await noted(pool) == [
        ("a", "dead_letter.purge", str(number), {"removed": 1}),
        ("b", "dead_letter.purge", "", {"device": "d1", "removed": ROWS - 1}),
    ]
