"""Poisoned records: those that fail alone while the database takes others, when each is tried again, when given up.

Bookkeeping in memory: who starts anew knows none, and finds them again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from gateway.core.backoff import exponential
from gateway.core.errors import Unavailable
from gateway.domain.model import Batch, Outcome

FIRST_SECS = 0.5
"""Rest of a record after its first failure; doubled each time."""
LONGEST_SECS = 30.0
TRIES = 3
"""Times that a record is tried alone if an error says that it will not pass."""
PATIENT_TRIES = 10
"""The same if the error may go away: about two minutes."""
MAX_SUSPECTS = 1000
"""Records of one spool that rest at most; past them those behind wait until their fate is known."""
FEW = 3
"""Records that may be to blame while no write of anybody succeeds: more of them, and it is the database."""

Answers = Callable[[], Awaitable[bool]]
"""Asks the database now; says whether it takes writes."""
Rescue = Callable[[Batch, str], Awaitable[Outcome]]
"""Stores what can be stored of a batch that failed with these words, message by message; keeps the rest for people."""


class PoisonCheck(NamedTuple):
    """How to tell a record that cannot be stored from a database that is away, and what then becomes of it."""

    answers: Answers
    rescue: Rescue
    proofs: Callable[[], int]
    """How many groups were stored so far, whoever wrote them: the surest sign that others pass."""


class Suspect(NamedTuple):
    """What is known of one record."""

    tries: int
    next_at: float
    """Loop time of the next one."""
    error: str
    proofs: int
    """Of `PoisonCheck`, before its first failure."""


class Suspects:
    """The records that are under suspicion, by spool and id."""

    def __init__(self) -> None:
        self._known: dict[object, dict[int, Suspect]] = {}

    def __bool__(self) -> bool:
        return any(self._known.values())

    @property
    def error(self) -> str:
        """What the last one that failed met."""
        return next((one.error for found in self._known.values() for one in reversed(found.values())), "")

    def of(self, spool: object) -> dict[int, Suspect]:
        """Return those of a spool."""
        return self._known.get(spool, {})

    def resting(self, spool: object, now: float) -> set[int]:
        """Return those of a spool whose next try is yet to come."""
        return {number for number, one in self.of(spool).items() if one.next_at > now}

    def note(self, spool: object, number: int, error: Exception, *, now: float, proofs: int) -> Suspect:
        """Take note of a failure before which so many groups had been stored."""
        found = self._known.setdefault(spool, {})
        before = found.pop(number, None)
        tries = 1 + (before.tries if before else 0)
        rest = exponential(tries - 1, base=FIRST_SECS, cap=LONGEST_SECS)
        first = before.proofs if before else proofs
        found[number] = Suspect(tries, now + rest, str(error) or repr(error), first)
        return found[number]

    def is_guilty(self, one: Suspect, error: Exception, *, proofs: int) -> bool:
        """Whether a record has had all its tries, and it is known that others can be stored.

        If nobody has written anything since its first failure, the word of a probe is believed about few records only.
        """
        if proofs > one.proofs:
            return one.tries >= (PATIENT_TRIES if isinstance(error, Unavailable) else TRIES)
        return one.tries >= PATIENT_TRIES and sum(map(len, self._known.values())) <= FEW

    def clear(self, spool: object, numbers: list[int]) -> None:
        """Forget records that are gone."""
        found = self._known.get(spool, {})
        for number in numbers:
            found.pop(number, None)

    def keep_only(self, spools: Sequence[object]) -> None:
        """Forget what is known of all other spools."""
        self._known = {spool: found for spool, found in self._known.items() if spool in spools}


def words_of(exc: Exception) -> str:
    """Return what happened in the words of whoever noticed it first."""
    return str(exc.__cause__ or "") or str(exc) or repr(exc)
