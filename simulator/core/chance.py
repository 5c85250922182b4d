"""Chance that can be asked again: a name, a seed and numbers in, the same well-mixed bits out. Pure.

All that is random in a run comes from here, so that a seed gives the same bytes on every machine, and so that a ledger
need not keep what can be worked out.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]

BITS = 31
"""Bits that `mix` returns."""
_MASK = 0xFFFFFFFFFFFFFFFF


def hash_name(name: str, *, seed: int) -> int:
    """Return 64 bits that depend on every byte of the name and on the seed (FNV-1a)."""
    state = 0xCBF29CE484222325 ^ (seed & _MASK)
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 & _MASK
    return state


def mix(device: Ints, n: Ints | np.int64, *, salt: int) -> Ints:
    """Return 31 well-mixed bits for each (device, n), as the splitmix64 finaliser gives them; the two broadcast."""
    device_key = device.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = device_key + n.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(salt & _MASK)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(33)).astype(np.int64)
