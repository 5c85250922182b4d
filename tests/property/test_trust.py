"""Whatever writes and probes say, in any order: what may be tried, how often anything is said, when trust returns."""

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.ingest.pipeline.breaker_state import Kind, Trust

KINDS = st.sampled_from(["transient", "fault"])


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.trust = Trust()
        self.lost = self.back = self.in_vain = 0
        self.seen_good = True
        """Whether a real write has succeeded since the last failure of any kind."""
        self.kinds: set[Kind] = set()

    def failed(self, kind: Kind, *, is_news: bool) -> None:
        self.kinds.add(kind)
        self.lost += is_news
        self.seen_good = False

    @rule(kind=KINDS, late=st.booleans())
    def a_write_fails(self, kind: Kind, late: bool) -> None:
        before, was_open, attempts = self.trust.trouble, self.trust.is_open, self.trust.attempts
        is_news = self.trust.lose(self.trust.term - late, "e", kind, now_us=1)
        if late or was_open:
            assert not is_news
            assert (self.trust.trouble, self.trust.is_open, self.trust.attempts) == (before, was_open, attempts)
            return
        self.failed(kind, is_news=is_news)
        assert self.trust.is_open
        assert self.trust.attempts >= attempts

    @precondition(lambda self: self.trust.is_open)
    @rule(kind=KINDS)
    def a_probe_fails(self, kind: Kind) -> None:
        attempts = self.trust.attempts
        self.failed(kind, is_news=self.trust.miss("e", kind, now_us=1))
        assert self.trust.is_open
        assert self.trust.attempts == attempts + 1

    @precondition(lambda self: self.trust.is_open)
    @rule()
    def a_probe_succeeds(self) -> None:
        attempts, term = self.trust.attempts, self.trust.term
        self.over(self.trust.reach() is not None)
        assert not self.trust.is_open
        assert (self.trust.attempts, self.trust.term) == (attempts, term + 1)

    @rule(late=st.booleans())
    def a_write_succeeds(self, late: bool) -> None:
        was_open = self.trust.is_open
        over = self.trust.prove(self.trust.term - late) is not None
        if late or was_open:
            assert not over
            return
        self.over(over)
        self.seen_good = True
        assert (self.trust.trouble, self.trust.attempts) == (None, 0)

    @rule(late=st.booleans())
    def nothing_happens_for_long(self, late: bool) -> None:
        was_open = self.trust.is_open
        self.over(self.trust.hold(self.trust.term - late) is not None)
        if not late and not was_open:
            assert self.trust.trouble is None

    def over(self, is_over: bool) -> None:
        self.back += is_over
        if is_over:
            assert self.trust.trouble is None
            self.kinds.clear()

    @invariant()
    def each_trouble_begins_and_ends_once(self) -> None:
        standing = self.trust.trouble is not None
        assert standing or not self.trust.is_open
        assert self.back <= self.lost <= 2 * (self.back + standing)  # a line for each kind of it

    @invariant()
    def the_pause_shrinks_only_after_a_real_write(self) -> None:
        assert self.trust.attempts == 0 or not self.seen_good


TestHistories = Histories.TestCase
TestHistories.settings = hypothesis.settings(max_examples=60, stateful_step_count=40, deadline=None)
