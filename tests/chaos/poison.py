"""In: servers, a time. Out: what a row that only the database can refuse costs the others: one in ten thousand.

Such a row passes every check of the gateway. Here a CHECK constraint, added behind the gateway's back, refuses it.
"""

import asyncio
from contextlib import ExitStack
from typing import Any

import asyncpg

from tests.chaos import flood
from tests.chaos.overload import per_second, pour, unlike
from tests.chaos.scene import Ground, Restarted, settings_of
from tests.chaos.trial import Trial

EVERY = 10_000 // flood.ROWS
"""Bodies of which one has a poisoned message."""
SHARE = 0.8
CONNECTIONS = 32
"""In a closed loop: as many bodies are under way all the time."""
CONSTRAINT = "no_poison"
POISONED = f"alter table messages add constraint {CONSTRAINT} check (values is null or {flood.POISON} <> all (values))"
CURED = f"alter table messages drop constraint {CONSTRAINT}"
LETTERS = "select count(*) as letters, count(*) filter (where detail like $1) as readable from dead_letters"


def poison(servers: Ground, *, secs: float, rounds: int, strict: bool) -> Trial:
    """Measure throughput without and with poison, in turns; `strict`: judge it, too."""
    trial = Trial("poison")
    with ExitStack() as stack:
        gateway = Restarted(settings_of(servers) | {"GATEWAY_MQTT__URL": ""}, servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        url = gateway.environ["GATEWAY_DATABASE__URL"]
        asyncio.run(execute(url, POISONED))
        stack.callback(lambda: asyncio.run(execute(url, CURED)))
        reports: dict[str, list[dict[str, Any]]] = {"clean": [], "poisoned": []}
        for number in range(rounds):
            for name, every in (("clean", 0), ("poisoned", EVERY)):
                report = pour(gateway, f"{name}-{number}", seconds=secs, connections=CONNECTIONS, poison_every=every)
                reports[name].append(report)
                trial.troubles += asyncio.run(unlike(url, f"{name}-{number}", report))
        judge(trial, reports, *asyncio.run(letters(url)), strict=strict)
        trial.expect(that=gateway.terminate() == 0, else_say="the gateway did not end with 0")
    return trial


def judge(trial: Trial, reports: dict[str, list[dict[str, Any]]], kept: int, readable: int, *, strict: bool) -> None:
    """Compare the dead letters with the poisoned bodies, and the throughputs."""
    partly = sum(len(report["partly"]) for report in reports["poisoned"])
    clean, poisoned = (
        sorted(per_second(report, skip=1) for report in reports[name])[len(reports[name]) // 2]
        for name in ("clean", "poisoned")
    )
    others = {status for each in reports.values() for report in each for status in report["statuses"]} - {"200", "207"}
    trial.figures |= {
        "clean": f"{clean:.0f} bodies/s ({2 * flood.ROWS * clean:,.0f} readings/s)",
        "poisoned": f"{poisoned:.0f} bodies/s, {poisoned / clean:.0%} of clean",
        "dead letters": f"{kept}, {readable} of them with the reason, for {partly} poisoned messages",
    }
    trial.expect(that=not others, else_say=f"other answers: {others}")
    trial.expect(that=partly > 0, else_say="nothing was refused: that was no poison")
    trial.expect(that=kept == readable == partly, else_say=f"{kept} letters, {readable} readable, {partly} refused")
    if strict:
        trial.expect(that=poisoned >= SHARE * clean, else_say=f"throughput fell to {poisoned / clean:.0%}")


async def execute(url: str, command: str) -> None:
    """Do one thing to the database."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


async def letters(url: str) -> tuple[int, int]:
    """Return how many dead letters there are, and how many of them name the constraint."""
    connection = await asyncpg.connect(url, timeout=10, command_timeout=60)
    try:
        row = await connection.fetchrow(LETTERS, f"23514: %{CONSTRAINT}%")
    finally:
        await connection.close()
    assert row is not None
    return int(row["letters"]), int(row["readable"])
