"""The results of sending: loads in, counts and latencies out, in a form that processes can hand each other. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct, field
from msgspec.structs import asdict

from simulator.core.counts import MAX_EXAMPLES, add_up
from simulator.plan.fleet import Transport
from simulator.plan.plan import Part
from simulator.send.latency import Buckets, Percentiles, summary
from simulator.send.ledger import Ledger
from simulator.send.loads.base import Load
from simulator.send.loads.script import Score
from simulator.send.timeline import Timeline


class Sent(Struct, kw_only=True):
    """Counts of readings."""

    offered: int = 0
    unsent: int = 0
    sent: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    refused: int = 0

    @classmethod
    def of(cls, ledger: Ledger, *, offered: int) -> "Sent":
        """Read off a ledger; `offered` counts posts."""
        readings = max(offered * ledger.lane.readings, ledger.sent)  # a sleep may end a millisecond early
        return cls(
            offered=readings,
            unsent=readings - ledger.sent,
            sent=ledger.sent,
            acknowledged=ledger.acknowledged,
            unacknowledged=ledger.unacknowledged,
            refused=ledger.refused,
        )


class Seen(Struct, kw_only=True):
    """How long messages of watched devices took to be seen, from the intended time of sending.

    `latencies` and `phases` as in `PartResult`; `unseen` were not seen until the end, and have taken until then at
    least; `examples` are the first of them, by device and time.
    """

    latencies: Buckets = field(default_factory=dict)
    phases: list[Buckets] = field(default_factory=list)
    unseen: int = 0
    examples: list[str] = field(default_factory=list)


class PartResult(Struct, kw_only=True):
    """One part. `codes` counts readings, `errors` attempts, `faults` answers, `durability` posts."""

    title: str
    transport: Transport
    counts: Sent
    codes: dict[str, int] = field(default_factory=dict)
    durability: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    score: Score = field(default_factory=Score)
    latencies: Buckets = field(default_factory=dict)
    """Samples in fine buckets, as in the next two."""
    lateness: Buckets = field(default_factory=dict)
    phases: list[Buckets] = field(default_factory=list)
    began: float = 0.0
    """When the schedule began, on the clock that all processes of a machine share; 0 if nobody knows."""
    state: Seen | None = None
    """In the state, if it was watched; in the live stream, if that was."""
    stream: Seen | None = None

    @classmethod
    def of(cls, load: Load) -> "PartResult":
        """Read off a load that has come to its end."""
        ledger = load.ledger
        return cls(
            title=load.part.title,
            transport=ledger.lane.transport,
            counts=Sent.of(ledger, offered=load.pace.offered),
            codes=dict(ledger.codes),
            durability=dict(ledger.durability),
            errors=dict(load.errors),
            faults=dict(ledger.faults),
            score=load.script.score,
            latencies=load.latencies.counts,
            lateness=load.lateness.counts,
            phases=[phase.counts for phase in load.phases],
            began=load.pace.began,
        )

    @classmethod
    def of_ledger(cls, part: Part, ledger: Ledger) -> "PartResult":
        """Read off a ledger alone: nothing is known of times and errors."""
        return cls(title=part.title, transport=part.lane.transport, counts=Sent.of(ledger, offered=part.lane.posts))


class WorkerResult(Struct, kw_only=True):
    """What one process came to: `elapsed` in seconds, `cpu` in cores used while sending.

    `connections` over MQTT stood before that, and took `connecting` seconds to make.
    """

    parts: list[PartResult] = field(default_factory=list)
    elapsed: float = 0.0
    cpu: float = 0.0
    connections: int = 0
    connecting: float = 0.0
    timelines: dict[Transport, Timeline] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """How long messages of watched devices took to be seen; `unseen` and `examples` as in `Seen`."""

    latency: Percentiles
    by_phase: dict[str, Percentiles]
    unseen: int
    examples: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneReport:
    """One transport, all fleets together. Counts are of readings, but for `errors` (attempts), `faults` (answers)."""

    transport: Transport
    offered: int
    unsent: int
    sent: int
    acknowledged: int
    unacknowledged: int
    refused: int
    refused_by_code: dict[str, int]
    acknowledged_posts_by_durability: dict[str, int]
    errors: dict[str, int]
    faults: dict[str, int]
    injected: dict[str, int]
    expected_refusals: dict[str, int]
    wrong_answers: dict[str, int]
    latency: Percentiles
    latency_by_phase: dict[str, Percentiles]
    lateness: Percentiles
    state: Visibility | None = None
    """None if nobody watched; so with the next."""
    stream: Visibility | None = None


def lanes(parts: Sequence[PartResult], phases: Sequence[str]) -> list[LaneReport]:
    """Return one report for each transport that is there, http first."""
    transports = sorted({part.transport for part in parts})
    return [_lane([part for part in parts if part.transport == transport], phases) for transport in transports]


def _lane(parts: Sequence[PartResult], phases: Sequence[str]) -> LaneReport:
    counts, score = Sent(), Score()
    for part in parts:
        add_up(counts, part.counts)
        add_up(score, part.score)
    by_phase = zip(phases, zip(*(part.phases for part in parts), strict=True), strict=False)
    return LaneReport(
        transport=parts[0].transport,
        **asdict(counts),
        refused_by_code=_sum(part.codes for part in parts),
        acknowledged_posts_by_durability=_sum(part.durability for part in parts),
        errors=_sum(part.errors for part in parts),
        faults=_sum(part.faults for part in parts),
        injected=dict(score.injected),
        expected_refusals=dict(score.refusals),
        wrong_answers=dict(score.wrong),
        latency=summary(part.latencies for part in parts),
        latency_by_phase={name: summary(counts) for name, counts in by_phase},
        lateness=summary(part.lateness for part in parts),
        state=_visibility([part.state for part in parts if part.state], phases),
        stream=_visibility([part.stream for part in parts if part.stream], phases),
    )


def _visibility(seen: Sequence[Seen], phases: Sequence[str]) -> Visibility | None:
    if not seen:
        return None
    by_phase = zip(phases, zip(*(one.phases for one in seen), strict=True), strict=False)
    return Visibility(
        latency=summary(one.latencies for one in seen),
        by_phase={name: summary(counts) for name, counts in by_phase},
        unseen=sum(one.unseen for one in seen),
        examples=[example for one in seen for example in one.examples][:MAX_EXAMPLES],
    )


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)
