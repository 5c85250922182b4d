from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from simulator.send.ledger import Ledger, Outcome
from tests.unit.simulator.cases import lane

POSTS = 6
posts = st.integers(0, POSTS - 1)


class LedgerAgainstADictionary(RuleBasedStateMachine):
    """Readings, not posts, one by one, as the ledger would be kept if memory did not matter."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(lane(posts=POSTS))
        self.size = self.ledger.lane.readings
        self.readings: dict[int, Outcome] = {}

    def _settled(self, post: int) -> bool:
        return self.readings.get(post * self.size, Outcome.SENT) is not Outcome.SENT

    def _write(self, post: int, outcome: Outcome) -> None:
        for reading in range(post * self.size, (post + 1) * self.size):
            self.readings[reading] = outcome

    @rule(post=posts)
    def send(self, post: int) -> None:
        self.ledger.write_sent(post)
        if post * self.size not in self.readings:
            self._write(post, Outcome.SENT)

    @rule(post=posts)
    def acknowledge(self, post: int) -> None:
        if not self._settled(post):
            self.ledger.write_acknowledged(post, "db")
            self._write(post, Outcome.ACKNOWLEDGED)

    @rule(post=posts)
    def refuse(self, post: int) -> None:
        if not self._settled(post):
            self.ledger.write_refused(post, Counter(too_old=self.size))
            self._write(post, Outcome.REFUSED)

    @rule(post=posts, refused=st.sets(st.integers(0, 7), min_size=1, max_size=7))
    def refuse_some(self, post: int, refused: set[int]) -> None:
        if not self._settled(post):
            self.ledger.write_partly(post, Counter(not_finite=len(refused)), refused=refused)
            self._write(post, Outcome.ACKNOWLEDGED)
            for reading in refused:
                self.readings[post * self.size + reading] = Outcome.REFUSED

    @invariant()
    def counts_agree(self) -> None:
        wanted = Counter(self.readings.values())
        assert self.ledger.sent == len(self.readings)
        assert self.ledger.acknowledged == wanted[Outcome.ACKNOWLEDGED]
        assert self.ledger.refused == wanted[Outcome.REFUSED] == self.ledger.codes.total()
        assert self.ledger.unacknowledged == wanted[Outcome.SENT]

    @invariant()
    def refused_readings_are_known_one_by_one(self) -> None:
        whole = {p for p in range(POSTS) if self.ledger.outcomes[p] == Outcome.REFUSED}
        single = set(self.ledger.refused_readings.tolist())
        refused = {reading for reading, outcome in self.readings.items() if outcome is Outcome.REFUSED}
        assert refused == single | {reading for reading in refused if reading // self.size in whole}


LedgerAgainstADictionary.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestLedger = LedgerAgainstADictionary.TestCase


def test_an_answer_to_a_second_attempt_counts_once() -> None:
    ledger = Ledger(lane())
    for _ in range(3):
        ledger.write_sent(2)
    ledger.write_acknowledged(2, "db")
    ledger.write_sent(2)
    assert (ledger.sent, ledger.acknowledged, ledger.unacknowledged) == (8, 8, 0)
    assert ledger.outcomes.tolist() == [0, 0, Outcome.ACKNOWLEDGED, 0, 0, 0]
