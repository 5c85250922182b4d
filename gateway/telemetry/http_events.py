"""Events of HTTP beside its answers, one function each, as in `events`. Never raises, never waits.

How long requests take is noted for each (0.3 µs) and counted together now and then: counting is 1 µs for each number.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from itertools import accumulate, product

from gateway.telemetry import prometheus
from gateway.telemetry.prometheus import HTTP_BOUNDS, HTTP_GROUPS

GONE = "499"
"""The status of a request whose caller hung up before it had an answer: nobody's fault that we could name."""
STATUSES = ("2xx", "3xx", "4xx", GONE, "5xx")
INGEST, STATE = "ingest", "state"
COUNT_SECS = 1.0
"""Times are counted so long after they were noted, at most."""


class _Times:
    """What is noted and not yet counted."""

    def __init__(self) -> None:
        self._noted = {group: [0] * (len(HTTP_BOUNDS) + 1) for group in HTTP_GROUPS}
        """Requests within each bound, above the one before."""
        self._secs = dict.fromkeys(HTTP_GROUPS, 0.0)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where counting is awaited."""

    def note(self, group: str, secs: float) -> None:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(COUNT_SECS, self.count)
        self._noted[group][bisect_left(HTTP_BOUNDS, secs)] += 1
        self._secs[group] += secs

    def count(self) -> None:
        """Count what was noted."""
        self._loop = None
        for group, noted in self._noted.items():
            if not any(noted):
                continue
            for le, within in zip((*map(str, HTTP_BOUNDS), "+Inf"), accumulate(noted), strict=True):
                prometheus.http_seconds_bucket[group, le].inc(within)
            prometheus.http_seconds_count[(group,)].inc(sum(noted))
            prometheus.http_seconds_sum[(group,)].inc(self._secs[group])
            noted[:], self._secs[group] = [0] * len(noted), 0.0


_times = _Times()
took = _times.note
"""Note how long a request of a group of routes took, in seconds; to be called in the event loop."""
count_times = _times.count
"""Count what was noted so far."""
_groups: dict[str, str] = {}


def declare(routes: Mapping[str, str], *, upgraded: str, codes: Iterable[str]) -> None:
    """Tell the labels of all routes and their groups, the route that switches protocols, and all codes of problems."""
    _groups.update(routes)
    prometheus.http_requests.declare([*product(routes, STATUSES), (upgraded, "1xx")])
    prometheus.http_problems.declare(product(codes))


def answered(route: str, secs: float) -> None:
    """Note how long a request of this route took."""
    took(_groups.get(route, HTTP_GROUPS[-1]), secs)


def gone(route: str) -> None:
    """Count a request whose caller hung up before it had an answer."""
    prometheus.http_requests[(route, GONE)].inc()


def cut_off(limit: str) -> None:
    """Count a connection that was closed because of a bound; `limit` is the setting."""
    prometheus.http_cut_off[(limit,)].inc()


def deferred() -> None:
    """Count a connection that goes on in a later turn of the loop."""
    prometheus.http_deferred.inc()
