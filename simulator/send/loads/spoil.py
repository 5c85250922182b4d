"""Faults put into posts: an encoder, a number and a fault in, what goes on the wire out. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from simulator.plan.faults import Draw, Fault
from simulator.plan.fleet import Lane
from simulator.plan.metrics import Metric
from simulator.send.encode import Encoder, Post, Run, compress

FLIPPED_TEXT, FLIPPED_NUMBER = "ERR", -1.0
"""What a flipped reading says: a text where a number or a bool is usual, a number where a text is."""
_NAN_MARK, _NAN = b'"\\u0007nan"', b"NaN"
_NAN_VALUE = "\u0007nan"
_NUL_VALUE = "cut\0off"
_AHEAD_MS = 10 * 365 * 86_400_000
"""How far ahead a clock is that is wrong: whenever the run is said to be, it is in the future."""
GHOST = "-unknown"
"""What the name of a device that nobody registered ends with."""


@dataclass(frozen=True, slots=True)
class Place:
    """A reading of a post: the run, the message in the run, the metric."""

    run: int
    message: int
    metric: int


class Spoiler:
    """Spoils the posts of one part. What is sent again after an answer is made here, too."""

    def __init__(self, encoder: Encoder, draw: Draw, lane: Lane, metrics: tuple[Metric, ...]) -> None:
        self._encoder = encoder
        self._draw = draw
        self._lane = lane
        self._metrics = metrics

    def post(self, number: int, fault: Fault) -> Post:
        """Return a post with a fault in it; one whose fault is in how it is sent is as it should be."""
        alter = self._alteration(number, fault)
        post = self._encoder.altered(number, alter) if alter else self._encoder.altered(number)
        match fault:
            case Fault.NAN:
                return self._encoder.packed(replace(post, body=post.body.replace(_NAN_MARK, _NAN)))
            case Fault.MALFORMED_JSON:
                return self._encoder.packed(replace(post, body=post.body[:-1]))
            case Fault.TRUNCATED_GZIP:
                packed = compress(post.body, "gzip")
                return replace(post, body=packed[: len(packed) // 2], encoding="gzip")
            case Fault.OVERSIZE:
                return replace(post, body=post.body.ljust(self._draw.assumed.max_body_bytes + 1))
        return self._encoder.packed(post)

    def again(self, number: int, fault: Fault) -> Post:
        """Return what is sent after a post was stored: the same, or the same with another value."""
        if fault is Fault.DUPLICATE:
            return self._encoder.packed(self._encoder.altered(number))
        return self._encoder.packed(self._encoder.altered(number, self._saying(number, _other)))

    def _alteration(self, number: int, fault: Fault) -> Callable[[list[Run]], list[Run]] | None:
        match fault:
            case Fault.NAN:
                return self._saying(number, lambda _: _NAN_VALUE)
            case Fault.NUL:
                return self._saying(number, lambda _: _NUL_VALUE)
            case Fault.TYPE_FLIP:
                return self._saying(number, flipped)
            case Fault.CLOCK_SKEW:
                return self._ahead(number)
            case Fault.UNKNOWN_DEVICE:
                return lambda runs: [replace(run, device=run.device + GHOST) for run in runs]
        return None

    def _place(self, number: int) -> Place:
        message, metric = divmod(self._draw.reading(number), self._lane.metrics)
        return Place(*divmod(message, self._lane.run), metric)

    def _saying(self, number: int, other: Callable[[Any], Any]) -> Callable[[list[Run]], list[Run]]:
        """Return what makes the chosen reading say something else."""
        at = self._place(number)

        def alter(runs: list[Run]) -> list[Run]:
            rows = list(runs[at.run].rows)
            row = list(rows[at.message])
            row[at.metric] = other(row[at.metric])
            rows[at.message] = tuple(row)
            return [*runs[: at.run], replace(runs[at.run], rows=rows), *runs[at.run + 1 :]]

        return alter

    def _ahead(self, number: int) -> Callable[[list[Run]], list[Run]]:
        """Return what puts the chosen message far into the future."""
        at = self._place(number)

        def alter(runs: list[Run]) -> list[Run]:
            times = list(runs[at.run].times)
            times[at.message] += _AHEAD_MS
            return [*runs[: at.run], replace(runs[at.run], times=times), *runs[at.run + 1 :]]

        return alter


def flipped(value: object) -> str | float:
    """Return what a metric says that suddenly says something of another kind."""
    return FLIPPED_NUMBER if isinstance(value, str) else FLIPPED_TEXT


def _other(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return f"{value}, again" if isinstance(value, str) else value + 1
