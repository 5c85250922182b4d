"""What was done wrong on purpose, and how it was answered: counts that add up over parts and processes. Pure."""

from msgspec import Struct, field

from simulator.plan.faults import Fault

MAX_WRONG = 100


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
        if len(self.examples) < MAX_WRONG:
            self.examples.append(answer)

    def add(self, other: "Score") -> None:
        """Take in what was counted elsewhere."""
        for counts in ("injected", "refusals", "wrong"):
            for name, count in getattr(other, counts).items():
                _count(getattr(self, counts), name, count)
        self.examples = (self.examples + other.examples)[:MAX_WRONG]


def _count(counts: dict[str, int], name: str, more: int) -> None:
    counts[name] = counts.get(name, 0) + more
