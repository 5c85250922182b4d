"""Removed devices, as Redis marks them: written with the state's removal, read before a kept answer is repeated.

A receipt that is kept says of a device's readings that they are stored; that ends with the device. A mark costs one
small key for each removed device, for as long as a receipt may be kept.
"""

KEEP_SECS = 30 * 86_400
"""No receipt is kept for longer: see `http.idempotency_hours`."""


def mark_of(site: str, device: str) -> bytes:
    """Return the Redis key; "/" keeps it apart from the names of devices, which the state is kept under."""
    return f"gateway:{site}/removed:{device}".encode()


def time_of(mark: bytes | None) -> int:
    """Return when the device was removed last (µs by the server's clock); 0 if it was not."""
    return 0 if mark is None else int(mark.rpartition(b" ")[2])
