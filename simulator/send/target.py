"""A target: how devices are introduced, a post written, an answer read, and what is stored read back.

The gateway, InfluxDB and adapter files all fill this. Nothing here knows any of them.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy.typing as npt

from simulator.core.chance import Ints
from simulator.core.errors import Unreachable
from simulator.plan.faults import Fault
from simulator.plan.fleet import Transport
from simulator.plan.plan import Part, Plan
from simulator.plan.scenario import Compression
from simulator.send.drivers.http import HttpClient, bearer
from simulator.send.encode import Post, Run
from simulator.send.loads.truth import HARMLESS, ForeignTruth, Refusals, Truths
from simulator.send.receipts import Answer


@dataclass(frozen=True, slots=True)
class Column:
    """Stored readings of one metric: the i-th is of device[i] (numbered within the fleet) at time_us[i]."""

    metric: str
    kind: str
    device: Ints
    time_us: Ints
    values: npt.NDArray[Any]


class Source(Protocol):
    """What is stored of devices. Every method raises Unreachable when it is lost."""

    shows_twins: bool
    """Whether a reading that is stored twice is shown twice."""

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:
        """Return how many readings of the devices are stored since then; None where counting is reading them all."""

    def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield what is stored of them in [since, until); `first` is the number of the first device in its fleet.

        Raises Refused.
        """

    async def close(self) -> None:
        """Let go of it; never fails."""


class Codec(Protocol):
    """Writes the posts of one part, and reads their answers. Neither waits, nor keeps anything between two posts."""

    def write(self, number: int, runs: Sequence[Run]) -> Post:
        """Return post `number`, which says these messages: the same bytes each time."""

    def read(self, number: int, status: int, body: bytes) -> Answer:
        """Return what the answer to a POST means. Whatever comes, it does not raise."""


class Registry(Protocol):
    """What a run has at its target. `notes` are for whoever reads the report, `key` is what posts are sent with."""

    notes: list[str]
    key: str

    @property
    def is_registered(self) -> bool:
        """Whether anything is there to be removed."""

    async def prepare(self) -> tuple[Fault, ...]:
        """Introduce the devices; return the faults that are none there. Raises Unreachable and UsageError."""

    async def withdraw(self, *, keep_devices: bool = False) -> None:
        """Remove the devices with all their readings. What cannot be removed is in the notes."""


class Target(ABC):
    """A target. Only `codec` must be there; whoever leaves out the rest gets less: no verification, no faults."""

    name: str = "custom"
    """What reports call it."""
    transports: frozenset[Transport] = frozenset({"http"})
    """How it can be sent to; with `mqtt` the codec writes publishes, too."""
    compression: frozenset[Compression] = frozenset({"none", "gzip"})
    """Content codings that it reads."""
    refusals: Refusals = MappingProxyType({})
    """Faults for which it refuses a post as a whole, with the status and the code that `read` says."""
    shows_states: bool = False
    """Whether it shows the newest of each metric, and dead letters, as a gateway does."""

    @abstractmethod
    def codec(self, part: Part) -> Codec:
        """Return what writes and reads the posts of a part."""

    def client(self, url: str, key: str, *, connections: int = 8, timeout: float = 30.0) -> HttpClient:
        """Return a client that speaks to it with a key; without further words one to ask with, not to send."""
        return HttpClient(url, key=key, connections=connections, timeout=timeout, authorize=self.authorization)

    def authorization(self, key: str) -> str:
        """Return the Authorization header for a key, empty for none."""
        return bearer(key)

    async def check_access(self, client: HttpClient) -> None:  # noqa: B027 - may be left out
        """Ask for something harmless. Raises Unreachable if the target is not there, or does not take our key."""

    async def prepare(self, client: HttpClient, plan: Plan) -> None:  # noqa: B027 - may be left out
        """Make whatever must be there before the first post. Raises Unreachable."""

    async def clean(self, client: HttpClient, plan: Plan) -> None:  # noqa: B027 - may be left out
        """Remove what the run has stored, and no more. Raises Unreachable."""

    def source(self, client: HttpClient) -> Source | None:
        """Return what reads back what is stored; None if it cannot be read."""
        del client
        return None

    @property
    def faults(self) -> frozenset[Fault]:
        """The faults whose right answer is known here."""
        return HARMLESS | frozenset(self.refusals)

    def truth(self, part: Part) -> Truths:
        """Return what knows the right answers."""
        return ForeignTruth(self.refusals, readings=part.lane.readings)

    def registry(self, client: HttpClient, plan: Plan, *, is_begun: bool = False) -> Registry:
        """Return the run's registry; with `is_begun` of one that has run before."""
        return _Introduced(self, client, plan, is_registered=is_begun)


class _Introduced:
    """A target's own `prepare` and `clean` as a registry: it keeps no keys and asks nothing."""

    def __init__(self, target: Target, client: HttpClient, plan: Plan, *, is_registered: bool) -> None:
        self.notes: list[str] = []
        self.key = client.key
        self.is_registered = is_registered
        self._target = target
        self._client = client
        self._plan = plan

    async def prepare(self) -> tuple[Fault, ...]:
        await self._target.prepare(self._client, self._plan)
        self.is_registered = True
        return ()

    async def withdraw(self, *, keep_devices: bool = False) -> None:
        if not self.is_registered or keep_devices:
            return
        try:
            await self._target.clean(self._client, self._plan)
        except Unreachable as error:
            self.notes.append(f"not all was removed: {error}")
