"""In: how far to go. Out: the time, standing still in between. Never looks at a real clock."""


class ManualClock:
    """`contracts.Clock` that a test moves."""

    def __init__(self, now_us: int = 1_700_000_000_000_000) -> None:
        self._now_us = now_us

    def now_us(self) -> int:
        """Microseconds since 1970 UTC."""
        return self._now_us

    def advance(self, secs: float) -> None:
        """Go forward, or with a negative number back."""
        self._now_us += round(secs * 1_000_000)
