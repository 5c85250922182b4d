"""Spells of what is not well: since when each, and a line in the log when it begins and when it is over.

What comes and goes is one spell as long as it comes back within CALM_SECS, so that its beginning is not forgotten.
"""

from collections.abc import Callable, Iterable

from gateway.core.clock import Clock
from gateway.core.timestamps import to_rfc3339
from gateway.domain.conditions import Found
from gateway.telemetry import health_events
from gateway.web.ports import Trouble

CALM_SECS = 3.0
"""Not seen for so long, it is over."""
SAY_SECS = 2.0
"""Seen for so long, it is said: what is over at once is nobody's business at night."""


class Spell:
    """A time during which something is not well."""

    def __init__(self, first: Found, *, since: str, began: float) -> None:
        self.found = first
        self.since = since
        self.began = self.seen = began
        self.said = False


class Spells:
    """All of one worker; bounded, since there are only so many kinds. `monotonic` is in seconds."""

    def __init__(self, worker: str, clock: Clock, *, monotonic: Callable[[], float]) -> None:
        self._worker = worker
        self._clock = clock
        self._monotonic = monotonic
        self._spells: dict[tuple[str, str], Spell] = {}

    def note(self, found: Iterable[Found]) -> list[Trouble]:
        """Take note of what is seen now, and return it with since when."""
        now = self._monotonic()
        troubles = []
        for each in found:
            key = each.part, each.kind
            if key not in self._spells:
                since = each.since or to_rfc3339(self._clock.now_us())
                self._spells[key] = Spell(each, since=since, began=now)
            spell = self._spells[key]
            spell.found, spell.seen = each, now
            troubles.append(Trouble(each.part, each.what, spell.since))
            self._say(spell)
        self._end(now)  # last: what two looks in a row see is one spell, however late the second one comes
        return troubles

    def _say(self, spell: Spell) -> None:
        if not spell.said and spell.seen - spell.began >= SAY_SECS:
            spell.said = True
            part, kind, what, _ = spell.found
            health_events.degraded(self._worker, part, what, kind=kind, since=spell.since)

    def _end(self, now: float) -> None:
        """Forget what is over."""
        for key, spell in list(self._spells.items()):
            if now - spell.seen > CALM_SECS:
                del self._spells[key]
                if spell.said:
                    lasted = spell.seen - spell.began
                    health_events.well_again(self._worker, *key, since=spell.since, secs=lasted)
