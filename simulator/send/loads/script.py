"""The script of a part: turns in; what goes on the wire, what the right answer is, and how it was answered, out. Pure.

The score counts what was done wrong on purpose and how that was answered; scores of parts and processes add up.
"""

from dataclasses import dataclass

from msgspec import Struct, field

from simulator.core.counts import MAX_EXAMPLES
from simulator.plan.faults import AGAIN, Fault
from simulator.plan.plan import Part
from simulator.send.encode import Encoder, Post
from simulator.send.loads.spoil import Spoiler
from simulator.send.loads.truth import STORED, Expected
from simulator.send.pacing import Turn
from simulator.send.target import Target


class WrongAnswer(Struct, frozen=True):
    """One answer that is not the right one."""

    device: str
    """The first device of the post."""
    time_us: int
    fault: str
    expected: str
    got: str


class Score(Struct, kw_only=True):
    """Counts posts, but for `refusals`, which counts readings by code."""

    injected: dict[str, int] = field(default_factory=dict)
    """By fault."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Refused as they must be."""
    wrong: dict[str, int] = field(default_factory=dict)
    """Answers that cannot be right, by fault, `none` for posts without one."""
    examples: list[WrongAnswer] = field(default_factory=list)
    """The first of them."""

    def inject(self, fault: Fault) -> None:
        """Count a fault, if it is one."""
        if fault is not Fault.NONE:
            _count(self.injected, fault.value, 1)

    def refuse(self, code: str, readings: int) -> None:
        """Count readings that were refused as they must be."""
        if readings:
            _count(self.refusals, code, readings)

    def note(self, fault: Fault, answer: WrongAnswer) -> None:
        """Count a wrong answer, and keep it if it is one of the first."""
        _count(self.wrong, fault.value, 1)
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(answer)


def _count(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more


_US_IN_MS = 1_000


@dataclass(frozen=True, slots=True)
class Job:
    """One post, at its time. `order` says that it is sent in another's place, late or out of order."""

    turn: Turn
    post: Post
    fault: Fault = Fault.NONE
    order: Fault = Fault.NONE
    expected: Expected = STORED

    @property
    def number(self) -> int:
        """The post's number in the ledger; the turn's is its place in the schedule."""
        return self.post.number


class Script:
    """The posts of one part with their faults, and the score of how they were answered."""

    def __init__(self, part: Part, target: Target) -> None:
        self.part = part
        self.codec = target.codec(part)
        """What the posts are written with, and their answers read."""
        self.score = Score()
        lane, draw, metrics = part.lane, part.draw, part.fleet.metrics
        self._encoder = Encoder(part.fleet, lane, self.codec.write, compression=part.compression)
        self._spoiler = Spoiler(self._encoder, draw, lane, metrics)
        self._truth = target.truth(part)
        self._stored = self._truth.expected(0, Fault.NONE)
        self._is_plain = not draw.spoils and not draw.shuffles

    def job(self, turn: Turn) -> Job:
        """Return what is sent in a turn."""
        if self._is_plain:
            return Job(turn, self._encoder.post(turn.number), expected=self._stored)
        number, order = self.part.draw.post_at(turn.number)
        fault = self.part.draw.fault(number)
        if fault is Fault.NONE or fault in AGAIN:
            in_turn = number == turn.number
            post = self._encoder.post(number) if in_turn else self._encoder.packed(self._encoder.altered(number))
            return Job(turn, post, fault, order, self._stored)
        post = self._spoiler.post(number, fault)
        return Job(turn, post, fault, order, self._truth.expected(number, fault))

    def count(self, job: Job) -> None:
        """Note that a job goes on the wire for the first time."""
        if job.fault not in AGAIN:
            self.score.inject(job.fault)
        self.score.inject(job.order)

    def again(self, job: Job) -> Job:
        """Return what is sent once a post with a fault of `AGAIN` is stored."""
        self.score.inject(job.fault)
        post = self._spoiler.again(job.number, job.fault)
        expected = self._truth.again(job.number, job.fault, self.part.shape(job.number))
        return Job(job.turn, post, job.fault, job.order, expected)

    def note(self, job: Job, wrong: str, refused: int) -> None:
        """Count an answer: what is wrong with it, if anything, and how many readings it refuses, rightly if not."""
        if not wrong:
            self.score.refuse(job.expected.code, refused)
            return
        lane = self.part.lane
        device, n = lane.said_by(lane.messages_of(job.number, 1)[:1])
        answer = WrongAnswer(
            device=self.part.fleet.name(int(device[0])),
            time_us=int(lane.time_ms(n)[0]) * _US_IN_MS,
            fault=job.fault.value,
            expected=str(job.expected),
            got=wrong,
        )
        self.score.note(job.fault, answer)
