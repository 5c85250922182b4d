"""What happens at the HTTP door beside its answers, one function each, as in `events`. Never raises, never waits."""

from collections.abc import Iterable
from itertools import product

from gateway.telemetry import metrics

GONE = "499"
"""The status of a request whose caller hung up before it had an answer: nobody's fault that we could name."""
STATUSES = ("2xx", "3xx", "4xx", GONE, "5xx")


def declare(routes: Iterable[str], *, upgraded: str, codes: Iterable[str]) -> None:
    """Tell the labels of all routes, of the one that switches protocols, and the codes of all problems."""
    metrics.http_requests.declare([*product(routes, STATUSES), (upgraded, "1xx")])
    metrics.http_problems.declare(product(codes))


def gone(route: str) -> None:
    """Count a request whose caller hung up before it had an answer."""
    metrics.http_requests[(route, GONE)].inc()
