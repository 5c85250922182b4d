"""In: answers under keys. Out: the same again, from a dict. Forgets nothing by itself; never durable."""

from gateway.contracts import Kept
from gateway.errors import StateUnavailable


class MemoryReceipts:
    """`contracts.Receipts` without a server; while `away` is set every call raises StateUnavailable."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.away = False

    async def claim(self, key: str, fingerprint: bytes) -> Kept | None:
        """Return what is kept, or None: the key is claimed now."""
        self._answer()
        if key in self.kept:
            return self.kept[key]
        self.kept[key] = Kept(fingerprint, 0, b"")
        return None

    async def keep(self, key: str, kept: Kept) -> None:
        """Keep an answer in place of the claim."""
        self._answer()
        self.kept[key] = kept

    async def release(self, key: str) -> None:
        """Give up a claim."""
        self._answer()
        self.kept.pop(key, None)

    def _answer(self) -> None:
        if self.away:
            raise StateUnavailable
