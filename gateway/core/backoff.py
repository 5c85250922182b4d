"""An attempt number → how long to wait. Pure: chance is an argument."""

from random import Random

_DOUBLINGS = 30
"""Beyond it the cap has long been reached; a larger power of two would only grow."""


def full_jitter(attempt: int, *, base: float, cap: float, rng: Random) -> float:
    """Return seconds to wait before attempt number `attempt` + 1 (0 = the first retry): 0 … min(cap, base · 2^attempt).

    Drawn evenly from the whole span, so that a thousand who failed together do not come back together.
    """
    return rng.uniform(0.0, min(cap, base * 2 ** min(attempt, _DOUBLINGS)))
