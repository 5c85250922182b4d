"""In: answers under keys. Out: the same again, from a dict. Forgets nothing by itself; never durable."""

from collections.abc import Collection
from itertools import count

from gateway.core.errors import StateUnavailable
from gateway.domain.contracts.idempotency import AnswerKey, Claim, KeptAnswer


class MemoryReceipts:
    """`contracts.Receipts` without a server; while `away` is set every call raises StateUnavailable."""

    def __init__(self) -> None:
        self.kept: dict[AnswerKey, KeptAnswer] = {}
        self.away = False
        self.max_bytes = 2**20
        """Of one answer."""
        self._claims: dict[AnswerKey, Claim] = {}
        self._removals: dict[str, tuple[int, int]] = {}
        """By name, the id of the device that was removed last, and when."""
        self._clock = count(1)

    async def claim(self, key: AnswerKey, fingerprint: bytes) -> KeptAnswer | Claim:
        """Return what is kept, or a claim."""
        self._answer()
        if key in self.kept:
            return self.kept[key]
        if key in self._claims:
            return KeptAnswer(self._claims[key].fingerprint, 0, b"")
        now = next(self._clock)
        self._claims[key] = Claim(fingerprint, b"%d" % now, now)
        return self._claims[key]

    async def renew(self, key: AnswerKey, claim: Claim) -> None:  # noqa: ARG002 - claims do not run out here
        """Do nothing."""
        self._answer()

    async def keep(self, key: AnswerKey, claim: Claim, kept: KeptAnswer) -> bool:
        """Keep an answer in place of the claim."""
        self._answer()
        if len(kept.body) > self.max_bytes:
            return False
        if key not in self.kept and self._claims.get(key, claim) == claim:
            self._claims.pop(key, None)
            self.kept[key] = kept
        return True

    async def release(self, key: AnswerKey, held: Claim | KeptAnswer) -> None:
        """Give up a claim or an answer."""
        self._answer()
        if self._claims.get(key) == held:
            del self._claims[key]
        if self.kept.get(key) == held:
            del self.kept[key]

    async def removed(self, devices: Collection[str], *, since_us: int) -> bool:
        """Return whether one of these devices was removed since then."""
        self._answer()
        return any(self._removals.get(device, (0, 0))[1] >= since_us for device in devices)

    def remove(self, device: str, device_id: int) -> None:
        """Note that a device was removed."""
        if self._removals.get(device, (0, 0))[0] < device_id:
            self._removals[device] = device_id, next(self._clock)

    def run_out(self) -> None:
        """Let all claims run out."""
        self._claims.clear()

    def _answer(self) -> None:
        if self.away:
            raise StateUnavailable
