"""The right answers to posts, and whether an answer is one: written from docs/http-api.md and docs/errors.md.

A post without a fault must be stored whole. Every other answer is wrong, but for those that say "later": they are
repeated. Over MQTT the right answer is a dead letter, or none. `ForeignTruth` is for targets that are no gateway.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from simulator.plan.faults import Draw, Fault
from simulator.plan.fleet import Lane
from simulator.plan.scenario import Shape
from simulator.send.receipts import Answer, Meaning

_OK, _PARTLY, _UNPROCESSABLE = 200, 207, 422
_READING = {Fault.NAN: "not_finite", Fault.NUL: "bad_text", Fault.TYPE_FLIP: "type_conflict"}
"""One reading is refused, with this code."""
_WHOLE = {
    Fault.OVERSIZE: (413, "too_large"),
    Fault.BAD_TOKEN: (401, "unauthorized"),
    Fault.MALFORMED_JSON: (400, "bad_payload"),
    Fault.TRUNCATED_GZIP: (400, "bad_payload"),
    Fault.SLOW_SOCKET: (408, "body_timeout"),
    Fault.UNKNOWN_DEVICE: (422, "unknown_device"),
}
"""The post is refused as a whole, with this status and code."""
NO_ANSWER = "no_answer"
"""Stands for the code where we hung up before there could be one."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The right answer. `refused` are readings of the post; `is_again` says that all of it is stored already.

    Over MQTT there is no status: with a code there must be a dead letter of that code, without one there must be none.
    Without a status here, any answer is right that says that the post is stored.
    """

    status: int | None = _OK
    code: str = ""
    refused: tuple[int, ...] = ()
    is_again: bool = False

    def __str__(self) -> str:
        return "stored" if self.status is None else f"{self.status} {self.code}".rstrip()


STORED = Expected()
UNDERSTOOD_AS_STORED = Expected(status=None)
HARMLESS = frozenset({Fault.LATE, Fault.OUT_OF_ORDER, Fault.DUPLICATE, Fault.DISCONNECT, Fault.CHURN, Fault.STORM})
"""Their right answer needs no agreement: what came whole is stored, once, and what did not come whole is not."""
Refusals = Mapping[Fault, tuple[int, str]]
"""Faults for which a post must be refused as a whole, with this status and code."""


class Truths(Protocol):
    """Knows the right answers to the posts of one part."""

    def expected(self, post: int, fault: Fault) -> Expected:
        """Return the right answer to a post that a fault befalls, when it is sent the first time."""

    def again(self, post: int, fault: Fault, shape: Shape) -> Expected:
        """Return the right answer to what is sent after a post was stored."""


class ForeignTruth:
    """The right answers of a target that is no gateway: those of `HARMLESS`, and refusals that it says itself."""

    def __init__(self, refusals: Refusals, *, readings: int) -> None:
        self._refusals = refusals
        self._all = tuple(range(readings))

    def expected(self, post: int, fault: Fault) -> Expected:  # noqa: ARG002 - the protocol's
        """Return the right answer, as `Truths` says."""
        if fault is Fault.DISCONNECT:
            return Expected(0, NO_ANSWER, self._all)
        if fault in self._refusals:
            status, code = self._refusals[fault]
            return Expected(status, code, self._all)
        return UNDERSTOOD_AS_STORED

    def again(self, post: int, fault: Fault, shape: Shape) -> Expected:  # noqa: ARG002 - the protocol's
        """Return the right answer, as `Truths` says."""
        return Expected(status=None, is_again=True)


class Truth:
    """A gateway's right answers."""

    def __init__(self, draw: Draw, lane: Lane) -> None:
        self._draw = draw
        self._lane = lane
        self._all = tuple(range(lane.readings))

    def expected(self, post: int, fault: Fault) -> Expected:
        """Return the right answer to a post that a fault befalls, when it is sent the first time."""
        if fault in _WHOLE:
            status, code = _WHOLE[fault]
            return Expected(status, code, self._all)
        if fault is Fault.DISCONNECT:
            return Expected(0, NO_ANSWER, self._all)
        if fault is Fault.CLOCK_SKEW:
            return self._partly("too_far_ahead", self._message(post))
        if fault in _READING and not (fault is Fault.TYPE_FLIP and self._draw.assumed.kind_change == "keep"):
            return self._partly(_READING[fault], (self._draw.reading(post),))
        return STORED

    def again(self, post: int, fault: Fault, shape: Shape) -> Expected:
        """Return the right answer to what is sent after a post was stored: the same, or with another value."""
        if fault is Fault.DUPLICATE:
            return Expected(is_again=True)
        one = (self._draw.reading(post),) if shape == "flat" else self._message(post)
        partly = self._partly("conflict", one)
        return Expected(partly.status, partly.code, partly.refused, is_again=True)

    def _message(self, post: int) -> tuple[int, ...]:
        """Return the readings of the message that holds the one a fault picks."""
        first = self._draw.reading(post) // self._lane.metrics * self._lane.metrics
        return tuple(range(first, first + self._lane.metrics))

    def _partly(self, code: str, refused: tuple[int, ...]) -> Expected:
        status = _UNPROCESSABLE if len(refused) == self._lane.readings else _PARTLY
        return Expected(status, code, refused)


def judge(expected: Expected, answer: Answer) -> str:
    """Return what is wrong with an answer, in a few words; empty if nothing is."""
    return _judge_foreign(expected, answer) if expected.status is None else _judge(expected, answer)


def _judge_foreign(expected: Expected, answer: Answer) -> str:
    """Take what was left out, and is not named, for a refusal; but not of what was stored before."""
    if answer.meaning is Meaning.STORED or (answer.meaning is Meaning.DROPPED and not expected.is_again):
        return ""
    return " ".join((str(answer.status), *sorted(answer.codes), answer.reason)).rstrip()


def _judge(expected: Expected, answer: Answer) -> str:
    if answer.status != expected.status:
        return f"{answer.status} {','.join(sorted(answer.codes))}".rstrip()
    if expected.code and set(answer.codes) != {expected.code}:
        return f"{answer.status} {','.join(sorted(answer.codes)) or 'without a code'}"
    if answer.meaning is Meaning.UNCLEAR:
        return f"{answer.status} {answer.reason}"
    if expected.status in {_PARTLY, _UNPROCESSABLE} and answer.refused != expected.refused:
        return f"{answer.status} for other readings"
    if expected.is_again and answer.durability == "db" and answer.duplicates != answer.accepted:
        return f"{answer.status} with {answer.accepted - answer.duplicates} stored twice"
    return ""
