"""Receipts, the gateway's answers to posts: status and body in, an answer out. Pure; trusts nothing it is told.

Written from the documented API, never from the gateway's code. Only an answer that says so in full counts as an
acknowledgement: a 200 whose count is not the number of readings posted is a fault, and is reported as one.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from simulator.core.json_objects import object_of
from simulator.plan.metrics import Metric
from simulator.plan.scenario import Shape

_OK, _PARTLY, _UNPROCESSABLE = 200, 207, 422
_TOO_MANY, _SERVER_ERROR = 429, 500
_REQUEST_TIMEOUT = 408
_RUNS = frozenset({"readings", "columns"})


TARGET = "target"
"""Stands for where something is stored that is no gateway."""


class Meaning(Enum):
    """What to do with a post after its answer."""

    STORED = "stored"
    PARTLY = "partly"
    DROPPED = "dropped"
    """Stored, but for so many readings, and nobody says which."""
    REFUSED = "refused"
    AGAIN = "again"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Answer:
    """`codes` counts refused readings by reason; `refused` are their numbers: message in the post x metrics + metric.

    For AGAIN and UNCLEAR `reason` says why, in a word to count by. `accepted` and `duplicates` are as the receipt has
    them; `durability` is where a gateway says that it is, or TARGET. Status 0: there was no answer.
    """

    meaning: Meaning
    status: int = 0
    durability: str = ""
    codes: Counter[str] = field(default_factory=Counter)
    refused: tuple[int, ...] = ()
    accepted: int = 0
    duplicates: int = 0
    reason: str = ""

    @classmethod
    def stored(cls, status: int) -> "Answer":
        """Return: all of the post is stored."""
        return cls(Meaning.STORED, status, TARGET)

    @classmethod
    def refusal(cls, status: int, code: str, *, readings: int) -> "Answer":
        """Return: nothing of the post, which has so many readings, is stored, for one reason."""
        return cls(Meaning.REFUSED, status, codes=Counter({code: readings}), refused=tuple(range(readings)))

    @classmethod
    def partly(cls, status: int, refused: Mapping[int, str]) -> "Answer":
        """Return: these readings are not stored, each with its code; numbered message x metrics + metric."""
        return cls(Meaning.PARTLY, status, TARGET, codes=Counter(refused.values()), refused=tuple(sorted(refused)))

    @classmethod
    def dropped(cls, status: int, code: str, *, readings: int) -> "Answer":
        """Return: so many readings of the post are not stored, for one reason, and the target does not say which."""
        return cls(Meaning.DROPPED, status, TARGET, codes=Counter({code: readings}))

    @classmethod
    def again(cls, status: int) -> "Answer":
        """Return: the post may be sent again, later."""
        return cls(Meaning.AGAIN, status, reason=f"http_{status}")

    @classmethod
    def unclear(cls, status: int, reason: str) -> "Answer":
        """Return: what became of the post cannot be told, which is a wrong answer; `reason` is a word to count by."""
        return cls(Meaning.UNCLEAR, status, reason=reason)


class ReceiptReader:
    """Reads the answers to posts of one lane that are written in one shape."""

    def __init__(self, metrics: tuple[Metric, ...], *, shape: Shape, messages: int, run: int) -> None:
        self._positions = {metric.name: i for i, metric in enumerate(metrics)}
        self._shape = shape
        self._run = run if shape in _RUNS else 1
        self._readings = messages * len(metrics)

    def read(self, status: int, body: bytes) -> Answer:
        """Return what the answer means. Never raises: what cannot be understood is UNCLEAR."""
        receipt = object_of(body)
        if status in {_TOO_MANY, _REQUEST_TIMEOUT} or status >= _SERVER_ERROR:
            codes = Counter([str(receipt.get("code", ""))])
            return Answer(Meaning.AGAIN, status, codes=codes, reason=f"http_{status}")
        if status == _OK:
            return self._read_ok(receipt)
        if status == _PARTLY or (status == _UNPROCESSABLE and "errors" in receipt):
            return self._read_listed(status, receipt)
        code = receipt.get("code")
        return Answer(Meaning.REFUSED, status, codes=Counter({str(code or f"http_{status}"): self._readings}))

    def _read_ok(self, receipt: dict[str, Any]) -> Answer:
        accepted, duplicates = _count(receipt, "accepted"), _count(receipt, "duplicates")
        if accepted != self._readings:
            return Answer(Meaning.UNCLEAR, _OK, reason="receipt_count")
        return Answer(Meaning.STORED, _OK, str(receipt.get("durability")), accepted=accepted, duplicates=duplicates)

    def _read_listed(self, status: int, receipt: dict[str, Any]) -> Answer:
        """Read a receipt that refuses something: the counts must agree with what it lists."""
        refused = tuple(sorted({number for error in _errors(receipt) for number in self._locate(error)}))
        codes = self._codes(receipt)
        accepted, duplicates = _count(receipt, "accepted"), _count(receipt, "duplicates")
        durability = str(receipt.get("durability"))
        if status == _UNPROCESSABLE:
            codes["unlisted"] += max(0, self._readings - codes.total())
            return Answer(Meaning.REFUSED, status, durability, +codes, refused, accepted, duplicates)
        total = accepted + _count(receipt, "conflicts") + _count(receipt, "refused")
        if total != self._readings or accepted != self._readings - len(refused):
            return Answer(Meaning.UNCLEAR, status, codes=codes, reason="receipt_unlisted")
        return Answer(Meaning.PARTLY, status, durability, codes, refused, accepted, duplicates)

    def _codes(self, receipt: dict[str, Any]) -> Counter[str]:
        codes: Counter[str] = Counter()
        for error in _errors(receipt):
            codes[str(error.get("code"))] += max(1, len(self._locate(error)))
        return codes

    def _locate(self, error: dict[str, Any]) -> tuple[int, ...]:
        """Return the readings an error speaks of; none if that cannot be told."""
        index, path = error.get("index"), str(error.get("path", ""))
        width = len(self._positions)
        if not isinstance(index, int) or index < 0:
            return ()
        if self._shape == "flat":
            return self._inside(range(index, index + 1))
        place = _place_in_run(path, shape=self._shape) if self._shape in _RUNS else 0
        if self._run > 1 and place is None:
            return ()
        message = index * self._run + (place or 0)
        position = self._positions.get(str(error.get("metric")))
        if position is None:
            return self._inside(range(message * width, (message + 1) * width))
        return self._inside(range(message * width + position, message * width + position + 1))

    def _inside(self, numbers: range) -> tuple[int, ...]:
        return tuple(number for number in numbers if number < self._readings)


def _count(receipt: dict[str, Any], key: str) -> int:
    count = receipt.get(key)
    return count if isinstance(count, int) else 0


def _errors(receipt: dict[str, Any]) -> list[dict[str, Any]]:
    found = receipt.get("errors")
    return [error for error in found if isinstance(error, dict)] if isinstance(found, list) else []


def _place_in_run(path: str, *, shape: Shape) -> int | None:
    """Return which message of a run a JSON pointer (RFC 6901) names: `/0/readings/3/…` and `/0/values/t/3` are 3."""
    parts = path.split("/")
    if shape == "readings" and "readings" in parts:
        parts = parts[parts.index("readings") + 1 :]
        return _to_int(parts[0]) if parts else None
    return _to_int(parts[-1])


def _to_int(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
