"""Whose a dead letter is, and how much each may add: the rest is counted, and nobody pays for another."""

import secrets

from gateway.core.settings import DeadLetterSettings
from gateway.domain.dead_letter_budget import BURST_SECS, LEAST_BYTES, DeadLetterBudget, Folded, to_letter
from gateway.domain.dead_letters import DeadLetter

PER_SEC = 1000
LIMITS = DeadLetterSettings(device_bytes=400_000, device_bytes_per_sec=PER_SEC)
BURST = int(PER_SEC * BURST_SECS)


def letter(device: str | None, size: int = 10, code: str = "too_old") -> DeadLetter:
    return DeadLetter("mqtt", code, "", device, b"x" * size, "topic")


def test_a_device_may_add_a_burst_and_then_its_rate() -> None:
    budget = DeadLetterBudget(LIMITS)
    flood = [letter("noisy")] * 1000
    kept, folded = budget.divide(flood, {"noisy"}, 0.0)
    assert len(kept) == BURST // LEAST_BYTES
    assert folded == {Folded("mqtt", "too_old", "noisy"): 1000 - len(kept)}
    kept, _ = budget.divide(flood, {"noisy"}, 10.0)
    assert 9 <= len(kept) <= 10


def test_large_ones_are_charged_for_their_bytes_and_the_largest_never_kept() -> None:
    budget = DeadLetterBudget(LIMITS)
    assert len(budget.divide([letter("noisy", 20_000)] * 5, {"noisy"}, 0.0).kept) == 2
    too_large = letter("fresh", LIMITS.device_bytes // 4 + 1)
    assert budget.divide([too_large], {"fresh"}, 0.0).folded == {Folded("mqtt", "too_old", "fresh"): 1}


def test_nobody_pays_for_another() -> None:
    budget = DeadLetterBudget(LIMITS)
    flood = [letter("noisy")] * 500 + [letter(secrets.token_hex(8)) for _ in range(500)] + [letter(None)] * 500
    budget.divide(flood, {"noisy", "honest"}, 0.0)
    kept, folded = budget.divide([letter("honest", code="too_far_ahead")], {"noisy", "honest"}, 0.0)
    assert [(one.code, owner) for one, owner in kept] == [("too_far_ahead", "honest")]
    assert not folded


def test_strangers_are_one_owner_with_four_shares_whatever_they_call_themselves() -> None:
    budget = DeadLetterBudget(LIMITS)
    kept, folded = budget.divide([letter(str(n)) for n in range(1000)] + [letter(None)], (), 0.0)
    assert len(kept) == 4 * BURST // LEAST_BYTES
    assert {owner for _, owner in kept} == {""}
    assert folded == {Folded("mqtt", "too_old", ""): 1001 - len(kept)}
    assert (budget.share(""), budget.share("d1")) == (4 * LIMITS.device_bytes, LIMITS.device_bytes)


def test_what_is_counted_is_a_letter_without_bytes_that_says_why() -> None:
    mine, theirs = to_letter(Folded("mqtt", "too_old", "d1")), to_letter(Folded("database", "conflict", ""))
    assert (mine.source, mine.code, mine.device, mine.payload, mine.topic) == ("mqtt", "too_old", "d1", b"", None)
    assert theirs.device is None
    for one in (mine, theirs):
        assert "dead_letters.device_bytes_per_sec" in one.detail
