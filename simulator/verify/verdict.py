"""The verdict on a run: a plan and its ledgers in, a verdict out. Opens what has to be read, and closes it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from simulator.core.errors import Unreachable, UsageError
from simulator.plan.options import Judging
from simulator.plan.plan import Plan
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.target import Source, Target
from simulator.verify.findings import Account
from simulator.verify.referee import Referee, Verdict
from simulator.verify.stored import StoredReadings

_REOPEN_S = 0.5


async def look_for_database(judging: Judging, target: Target) -> None:
    """See that the database is there, if it is to be read: a run that cannot be verified is better not begun.

    Raises Unreachable, and UsageError if the target is no gateway.
    """
    _check_database(judging, target)
    if judging.source == "database" and judging.database is not None:
        await (await StoredReadings.open(judging.database)).close()


async def reach_verdict(
    plan: Plan, ledgers: Sequence[Ledger], client: HttpClient, *, target: Target, judging: Judging
) -> Verdict:
    """Return what became of all readings; `client` may read them. An unfinished verdict if that could not be told.

    Raises UsageError for a database of a target that has none.
    """
    _check_database(judging, target)
    async with AsyncExitStack() as stack:
        try:
            stored = await _open_source(client, target, judging)
        except Unreachable as error:
            return Verdict.none({ledger.lane.transport for ledger in ledgers}, why=str(error))
        if stored is not None:
            stack.push_async_callback(stored.close)
        accounts = [Account(part.fleet, ledger, part.draw) for part, ledger in zip(plan.parts(), ledgers, strict=True)]
        referee = Referee(
            stored=stored,
            client=client if target.shows_states else None,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            settle=judging.settle,
        )
        verdict = await referee.verify(accounts)
        _say_what_is_not_shown(verdict, target, is_read=stored is not None)
        if judging.verify is not None:  # what one was told to look at must have been seen
            verdict.unfinished = verdict.unfinished or verdict.stored_unchecked
        await referee.verify_letters(accounts, since_ms=plan.began_ms, prefix=f"{plan.prefix}-")
        return verdict


def _check_database(judging: Judging, target: Target) -> None:
    if judging.source == "database" and not target.shows_states:
        raise UsageError(f"--database, or $SIMULATOR_DATABASE, is a gateway's, and the target is {target.name}.")


def _say_what_is_not_shown(verdict: Verdict, target: Target, *, is_read: bool) -> None:
    if not target.shows_states:
        verdict.states_unchecked = f"the target {target.name} shows none"
    if not is_read:
        verdict.stored_unchecked = f"the target {target.name} has no way to read it back"


async def _open_source(client: HttpClient, target: Target, judging: Judging) -> Source | None:
    """Connect anew: the database may have been restarted during the run, and may still be starting."""
    if judging.source == "api" or judging.database is None:
        return target.source(client)
    deadline = time.monotonic() + judging.settle
    while True:
        try:
            return await StoredReadings.open(judging.database)
        except Unreachable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_REOPEN_S)
