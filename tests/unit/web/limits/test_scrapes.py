"""Scrapes: who asks once in a while sees the present; a flood shares what its budget can render."""

import asyncio
import time

from gateway.telemetry.exposition import Rendered
from gateway.web.limits.scrapes import AT_ONCE_SECS, MAX_AGE_SECS, SHARE, Scrapes

COST_SECS = 0.02


class Renderer:
    """Renders how often it has, and takes its time for it."""

    def __init__(self) -> None:
        self.count = 0
        self.now = 1000.0

    def render(self, counters: bool) -> list[Rendered]:
        began = time.thread_time()
        while time.thread_time() - began < COST_SECS:
            pass
        self.count += 1
        self.now += COST_SECS
        text = b"# counters\n" if counters else b"# all\n"
        return [
            Rendered(frozenset({"a_total"}), text + b"a_total %d\n" % self.count),
            Rendered(frozenset({"b"}), b"b 1\n"),
        ]


async def test_now_and_then_it_is_the_present() -> None:
    renderer = Renderer()
    scrapes = Scrapes(lambda: renderer.now, renderer.render)
    for number in range(1, 6):
        assert await scrapes.text(()) == b"# all\na_total %d\nb 1\n" % number
        renderer.now += 15.0
    assert await scrapes.text({"b"}) == b"b 1\n"
    assert await scrapes.text({"a_total"}) == b"# counters\na_total 7\n"
    assert await scrapes.text({"nothing"}) == b""


async def test_a_flood_costs_the_budget_and_no_more() -> None:
    renderer = Renderer()
    scrapes = Scrapes(lambda: renderer.now, renderer.render)
    flood = [scrapes.text(()) if number % 2 else scrapes.text({f"x{number}"}) for number in range(200)]
    assert len(await asyncio.gather(*flood)) == 200
    most = AT_ONCE_SECS / COST_SECS + 2
    assert renderer.count <= most
    for _ in range(100):
        renderer.now += COST_SECS / SHARE / 10
        await scrapes.text(())
    assert renderer.count <= most + 10 + 1


async def test_what_takes_long_or_is_mismeasured_is_rendered_anew_after_a_while() -> None:
    """A CPU clock that leaps, as it does under libfaketime or a debugger; or a machine that is slow."""
    renderer, leaps = Renderer(), iter(range(0, 10**9, 10**5))
    scrapes = Scrapes(lambda: renderer.now, renderer.render, cpu=lambda: float(next(leaps)))
    assert await scrapes.text({"a_total"}) == b"# counters\na_total 1\n"
    assert (
        await scrapes.text({"a_total"}) == b"# counters\na_total 2\n"
    )  # by the other clock it took no longer than usual

    def slow(counters: bool) -> list[Rendered]:
        renderer.now += 60.0
        return renderer.render(counters)

    scrapes = Scrapes(lambda: renderer.now, slow, cpu=lambda: renderer.now)
    assert await scrapes.text({"a_total"}) == b"# counters\na_total 3\n"
    renderer.now += MAX_AGE_SECS - 0.1
    assert await scrapes.text({"a_total"}) == b"# counters\na_total 3\n"
    renderer.now += 0.2
    assert await scrapes.text({"a_total"}) == b"# counters\na_total 4\n"
