"""Asking a part that answers, fails, or hangs: nobody waits for long, and no two questions are under way."""

import asyncio
from contextlib import suppress

import pytest

from gateway.app.health import probes
from gateway.app.health.probes import Part, Probe


class Asked:
    def __init__(self) -> None:
        self.answer: Part = {"ok": True}
        self.times = 0
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def __call__(self) -> Part:
        self.times += 1
        while not self.let_go.is_set():
            with suppress(asyncio.CancelledError):  # as a connection that is handed back waits for its server
                await self.let_go.wait()
        return self.answer


async def test_a_part_that_is_well_is_asked_now_and_then_and_one_that_is_not_each_time() -> None:
    asked = Asked()
    probe = Probe(asked, every_secs=1000.0)
    before: Part | None = probe.answer
    assert before is None
    for _ in range(3):
        await probe.refresh()
    assert (probe.answer, asked.times) == ({"ok": True}, 1)
    asked.answer = {"ok": False}
    probe = Probe(asked, every_secs=1000.0)
    for _ in range(3):
        await probe.refresh()
    assert (probe.answer, asked.times) == ({"ok": False}, 4)


async def test_a_part_that_hangs_holds_nobody_and_is_not_asked_again_until_it_lets_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "LATE_SECS", 0.01)
    asked = Asked()
    asked.let_go.clear()
    probe = Probe(asked, every_secs=0.0)
    for _ in range(3):
        await asyncio.gather(probe.refresh(), probe.refresh())
        assert probe.answer == {"ok": False, "error": "no answer within 0.01 s"}
    assert asked.times == 1
    asked.let_go.set()
    monkeypatch.setattr(probes, "LATE_SECS", 10.0)
    await probe.refresh()
    await probe.refresh()
    assert (probe.answer, asked.times) == ({"ok": True}, 2)


async def test_who_is_in_a_hurry_gets_what_is_known_and_calls_nobody_late() -> None:
    asked = Asked()
    probe = Probe(asked, every_secs=0.0)
    await probe.refresh()
    asked.let_go.clear()
    await probe.refresh(within_secs=0.01)
    assert (probe.answer, asked.times) == ({"ok": True}, 2)
    asked.answer = {"ok": False}
    asked.let_go.set()
    await probe.refresh(within_secs=10.0)
    assert (probe.answer, asked.times) == ({"ok": False}, 2)


async def test_a_mistake_is_an_answer() -> None:
    async def broken() -> Part:
        raise RuntimeError("oops")

    probe = Probe(broken, every_secs=0.0)
    await probe.refresh()
    assert probe.answer == {"ok": False, "error": "RuntimeError('oops')"}
    await probe.close()
