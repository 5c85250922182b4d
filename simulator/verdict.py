"""Reach a verdict on a run: a plan and its ledgers in, a verdict out. Opens what has to be read, and closes it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from simulator.drivers.http import HttpClient
from simulator.errors import Unreachable
from simulator.ledger import Ledger
from simulator.options import Judging
from simulator.plan import Plan
from simulator.verify.account import Account
from simulator.verify.history import History
from simulator.verify.referee import Referee, Verdict
from simulator.verify.source import Source
from simulator.verify.stored import StoredReadings

_REOPEN_S = 0.5


async def look_for_database(judging: Judging) -> None:
    """See that the database is there, if it is to be read: a run that cannot be verified is better not begun."""
    if judging.source == "database" and judging.database is not None:
        await (await StoredReadings.open(judging.database)).close()


async def reach_verdict(plan: Plan, ledgers: Sequence[Ledger], client: HttpClient, judging: Judging) -> Verdict:
    """Return what became of all readings; `client` may read them. An unfinished verdict if that could not be told."""
    async with AsyncExitStack() as stack:
        try:
            stored = await _open_source(client, judging)
        except Unreachable as error:
            return Verdict.none({ledger.lane.transport for ledger in ledgers}, why=str(error))
        stack.push_async_callback(stored.close)
        accounts = [Account(part.fleet, ledger, part.draw) for part, ledger in zip(plan.parts(), ledgers, strict=True)]
        referee = Referee(
            stored=stored, client=client, clock=time.monotonic, sleep=asyncio.sleep, settle=judging.settle
        )
        verdict = await referee.verify(accounts)
        if judging.verify is not None:  # what one was told to look at must have been seen
            verdict.unfinished = verdict.unfinished or verdict.stored_unchecked
        await referee.verify_letters(accounts, since_ms=plan.began_ms, prefix=f"{plan.prefix}-")
        return verdict


async def _open_source(client: HttpClient, judging: Judging) -> Source:
    """Connect anew: the database may have been restarted during the run, and may still be starting."""
    if judging.source == "api" or judging.database is None:
        return History(client)
    deadline = time.monotonic() + judging.settle
    while True:
        try:
            return await StoredReadings.open(judging.database)
        except Unreachable:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_REOPEN_S)
