"""Waits between tries: an attempt number → seconds, doubled each time up to a cap. Pure: chance is an argument."""

from random import Random

_DOUBLINGS = 30
"""Beyond it the cap has long been reached; a larger power of two would only grow."""


def exponential(attempt: int, *, base: float, cap: float) -> float:
    """Return seconds to wait before attempt number `attempt` + 1 (0 = the first retry): min(cap, base · 2^attempt)."""
    return min(cap, base * 2.0 ** min(attempt, _DOUBLINGS))


def full_jitter(attempt: int, *, base: float, cap: float, rng: Random) -> float:
    """Return seconds drawn evenly from 0 … `exponential`, so that a thousand who failed together do not come back so.

    See M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015), as for `equal_jitter`.
    """
    return rng.uniform(0.0, exponential(attempt, base=base, cap=cap))


def equal_jitter(attempt: int, *, base: float, cap: float, rng: Random) -> float:
    """Return seconds drawn evenly from the upper half of `exponential`, for who must not try again at once."""
    longest = exponential(attempt, base=base, cap=cap)
    return rng.uniform(longest / 2, longest)
