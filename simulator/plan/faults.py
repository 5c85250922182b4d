"""The faults by name, and which post gets which, and where in it: a post's number in, its fault out. Pure.

A seed gives the same faults. Two draws know nothing of each other: one befalls posts (what is in them, and how they are
sent), one changes the order in which they are sent. The ledger keeps neither: both can be worked out again.
"""

from enum import Enum

import numpy as np
import numpy.typing as npt

from simulator.core.chance import BITS, Ints, mix
from simulator.plan.fleet import Lane
from simulator.plan.metrics import Metric
from simulator.plan.scenario import Assumed, FaultRates


class Fault(Enum):
    """A fault; the values are the names of the rates in a scenario."""

    NONE = "none"
    LATE = "late"
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    CLOCK_SKEW = "clock_skew"
    NAN = "nan"
    TYPE_FLIP = "type_flip"
    NUL = "nul"
    OVERSIZE = "oversize"
    UNKNOWN_DEVICE = "unknown_device"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a name
    MALFORMED_JSON = "malformed_json"
    TRUNCATED_GZIP = "truncated_gzip"
    SLOW_SOCKET = "slow_socket"
    DISCONNECT = "disconnect"
    CHURN = "churn"
    STORM = "storm"


ORDER = (Fault.LATE, Fault.OUT_OF_ORDER)
"""They change when a post is sent, and nothing in it."""
CONTENT = tuple(fault for fault in Fault if fault not in {Fault.NONE, *ORDER})
"""At most one of them befalls a post."""
HTTP_ONLY = frozenset(
    {
        Fault.CONFLICT,
        Fault.OVERSIZE,
        Fault.BAD_TOKEN,
        Fault.TRUNCATED_GZIP,
        Fault.SLOW_SOCKET,
        Fault.DISCONNECT,
    }
)
"""Over MQTT there is no such thing, or no telling when the gateway has the first of two messages."""
AGAIN = frozenset({Fault.DUPLICATE, Fault.CONFLICT})
"""The post goes out as it should, and once more when it is answered."""
HANG_UPS = frozenset({Fault.CHURN, Fault.STORM})
"""Connections are closed before the post; everything must be stored all the same."""


_BLOCK = 256
"""Posts among which some change places: none is sent later than so many others."""
_LEAST_LATE = 16
_KIND, _PLACE, _ORDER, _LATENESS = 11, 22, 33, 44
"""Tell the draws from each other."""
_FAULTS = (Fault.NONE, *CONTENT)
_NOBODY = np.zeros(1, dtype=np.int64)


class Draw:
    """The faults of one part of a run."""

    def __init__(
        self,
        rates: FaultRates,
        assumed: Assumed,
        lane: Lane,
        metrics: tuple[Metric, ...],
        *,
        salt: int,
        left_out: tuple[Fault, ...] = (),
    ) -> None:
        """`left_out` are not drawn, whatever their rates."""
        self.assumed = assumed
        self._lane = lane
        self._metrics = metrics
        self._salt = salt
        without = _impossible(assumed, lane) | set(left_out)
        self._content = _bounds([0.0 if fault in without else getattr(rates, fault.value) for fault in CONTENT])
        self._order = _bounds([getattr(rates, fault.value) for fault in ORDER])
        self._kinds_from, self._kinds = -_BLOCK, [0] * _BLOCK
        self._places_from, self._places = -_BLOCK, list(range(_BLOCK))

    @property
    def spoils(self) -> bool:
        """Whether any post gets a fault of its own."""
        return bool(self._content[-1])

    @property
    def shuffles(self) -> bool:
        """Whether any post is sent in another's place."""
        return bool(self._order[-1])

    def fault(self, post: int) -> Fault:
        """Return what befalls a post."""
        if not self.spoils:
            return Fault.NONE
        first = post - post % _BLOCK
        if first != self._kinds_from:
            self._kinds = self.kinds(np.arange(first, first + _BLOCK, dtype=np.int64)).tolist()
            self._kinds_from = first
        return _FAULTS[self._kinds[post - first]]

    def kinds(self, posts: Ints) -> npt.NDArray[np.uint8]:
        """Return what befalls posts, as numbers that `having` understands."""
        drawn = mix(_NOBODY, posts, salt=self._salt + _KIND)
        at = np.searchsorted(self._content, drawn, side="right")
        return np.where(at < len(CONTENT), at + 1, 0).astype(np.uint8)

    def having(self, fault: Fault, posts: Ints) -> Ints:
        """Return those of the posts that the fault befalls."""
        return posts[self.kinds(posts) == _FAULTS.index(fault)] if self.spoils else posts[:0]

    def readings(self, posts: Ints) -> Ints:
        """Return which reading of each post a fault picks, numbered message in the post x metrics + metric."""
        return np.asarray(mix(_NOBODY, posts, salt=self._salt + _PLACE) % self._lane.readings)

    def reading(self, post: int) -> int:
        """Return which reading of a post a fault picks."""
        return int(self.readings(np.array([post], dtype=np.int64))[0])

    def post_at(self, slot: int) -> tuple[int, Fault]:
        """Return which post is sent at the time of post `slot`, and whether it is LATE or OUT_OF_ORDER."""
        if not self.shuffles:
            return slot, Fault.NONE
        first = slot - slot % _BLOCK
        if first != self._places_from:
            self._places, self._places_from = self._shuffled(first), first
        post = self._places[slot - first]
        if post >= slot:
            return post, Fault.NONE
        return post, Fault.OUT_OF_ORDER if slot - post == 1 else Fault.LATE

    def _shuffled(self, first: int) -> list[int]:
        """Return the posts of a block in the order in which they are sent."""
        slots = np.arange(first, min(first + _BLOCK, self._lane.posts), dtype=np.int64)
        drawn = np.searchsorted(self._order, mix(_NOBODY, slots, salt=self._salt + _ORDER), side="right")
        distances = _LEAST_LATE + mix(_NOBODY, slots, salt=self._salt + _LATENESS) % (_BLOCK - _LEAST_LATE)
        posts: list[int] = slots.tolist()
        for here in np.flatnonzero(drawn < len(ORDER)).tolist():
            distance = int(distances[here]) if ORDER[drawn[here]] is Fault.LATE else 1
            there = min(here + distance, len(posts) - 1)
            if posts[here] == slots[here] and posts[there] == slots[there]:  # each moves once at most
                posts[here], posts[there] = posts[there], posts[here]
        return posts


def _impossible(assumed: Assumed, lane: Lane) -> set[Fault]:
    """Return the faults that are none on this way, or none under these settings."""
    found = set(HTTP_ONLY) if lane.transport == "mqtt" else set()
    if assumed.unknown == "auto":
        found.add(Fault.UNKNOWN_DEVICE)
    if assumed.conflict == "overwrite":
        found.add(Fault.CONFLICT)
    if assumed.ahead == "clamp":
        found.add(Fault.CLOCK_SKEW)
    return found


def _bounds(rates: list[float]) -> Ints:
    return np.array(np.minimum(np.cumsum(rates), 1.0) * 2**BITS, dtype=np.int64)
