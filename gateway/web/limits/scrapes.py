"""The budget of scrapes: metrics out, rendered anew while that takes a small share of one CPU, else as they were last.

Whoever asks once in a while sees the present. However many ask at once, they share a rendering, and however often they
ask, what they see is older by no more than the budget makes it: a quarter of a second for each 5 ms of rendering.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from gateway.telemetry import exposition
from gateway.telemetry.exposition import Rendered

SHARE = 0.02
"""Of one CPU, that renderings may take in the long run."""
MAX_AGE_SECS = 5.0
"""However long a rendering takes, what is shown is no older when it is asked for: an outage must not hide behind it."""
AT_ONCE_SECS = 0.1
"""CPU that they may take after a quiet time: some twenty."""

Render = Callable[[bool], list[Rendered]]


def render_all(counters: bool) -> list[Rendered]:  # noqa: FBT001 - as above
    """Render what is shown."""
    return exposition.render(counters=counters)


class _Scrape(NamedTuple):
    rendered: list[Rendered]
    text: bytes


class Scrapes:
    """The metrics as one worker shows them."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        render: Render = render_all,
        *,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        """`cpu` is what a rendering is charged by: the CPU time of its thread."""
        self._monotonic = monotonic
        self._cpu = cpu
        self._render = render
        self._last: dict[bool, _Scrape] = {}
        self._rendering = asyncio.Lock()
        self._paid_until = 0.0
        """When what was rendered so far would be done, had it taken its SHARE and no more."""

    async def text(self, names: Collection[str]) -> bytes:
        """Return the metrics of these names, or all, in the Prometheus text format."""
        counters = exposition.only_counters(names)
        async with self._rendering:
            last = self._last.get(counters)
            if last is None or self._monotonic() + AT_ONCE_SECS / SHARE >= self._paid_until:
                last = self._last[counters] = await asyncio.to_thread(self._take, counters)
        return exposition.choose(last.rendered, names) if names else last.text

    def _take(self, counters: bool) -> _Scrape:  # noqa: FBT001 - of a thread, which takes no names
        began, busy = self._monotonic(), self._cpu()
        rendered = self._render(counters)
        text = exposition.choose(rendered, ())
        now = self._monotonic()
        spent = min(self._cpu() - busy, now - began)  # a CPU clock that leaps must not stop the metrics
        paid_until = max(self._paid_until, now) + max(0.0, spent) / SHARE
        self._paid_until = min(paid_until, now + AT_ONCE_SECS / SHARE + MAX_AGE_SECS)
        return _Scrape(rendered, text)
