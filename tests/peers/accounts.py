"""The accounts: what was acknowledged beside what is stored. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Account(NamedTuple):
    """Readings."""

    acknowledged: int
    lost: int
    """Acknowledged, and not stored."""
    unasked: int
    """Stored, and not acknowledged: a request that was cut off may have been stored all the same."""


def settle(acknowledged: Mapping[str, int], stored: Mapping[str, int], *, total: int) -> Account:
    """Return the account of devices.

    `stored` counts only what was acknowledged (before the time at which that ends), so what one device has too much of
    cannot hide what another one lacks; `total` is all there is.
    """
    kept = sum(min(count, stored.get(device, 0)) for device, count in acknowledged.items())
    due = sum(acknowledged.values())
    return Account(due, due - kept, total - kept)
