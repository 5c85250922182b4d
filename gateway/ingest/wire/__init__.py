"""Decoding of bodies: bytes → columns. Pure: no clock, no I/O, raises BadPayload, TooLarge and UnsupportedMedia only.

`steps` is the way in for bodies of any length: work in steps of some milliseconds. It tells the format by the media
type. A new format is one more file and one more line here.
"""

from gateway.core.errors import UnsupportedMedia
from gateway.core.slices import Steps, at_once
from gateway.domain.json_text import without_mark
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Decoded
from gateway.domain.refusals import LISTED
from gateway.ingest.wire import careful, fast, long, size
from gateway.ingest.wire.limits import Limits, check_count

ACCEPTED = ("application/json",)
"""Media types that are read; no media type at all is taken for JSON."""
SHORT = long.WHOLE
"""Bytes of a body that `plain` reads, at once."""


def plain(body: bytes, layouts: Layouts, *, device: str | None, received_us: int) -> Batch | None:
    """Return the readings of a JSON body that is plain, short and not empty; else None, and `steps` tells."""
    if len(body) > SHORT:
        return None
    layouts.make_room()
    batch = fast.decode(body, layouts, device=device, received_us=received_us)
    return batch if batch is not None and batch.readings else None


def decode(
    body: bytes, media: str | None, layouts: Layouts, *, device: str | None, received_us: int, max_readings: int
) -> Decoded:
    """Return what `steps` returns, for whoever has no event loop to share."""
    layouts.make_room()
    limits = Limits(max_readings, LISTED)
    return at_once(steps(body, media, layouts, limits, device=device, received_us=received_us))


def steps(
    body: bytes, media: str | None, layouts: Layouts, limits: Limits, *, device: str | None, received_us: int
) -> Steps[Decoded]:
    """Return the readings and refusals in a body. `device` is implied by the address, if it names one.

    The layouts must be pinned if others may use them between the steps.
    """
    if media and media.partition(";")[0].strip().lower() not in ACCEPTED:
        raise UnsupportedMedia(f"media type {media[:100]!r} is not read here; send {', '.join(ACCEPTED)}")
    body = without_mark(body)
    yield from size.check(body, limits.max_readings)
    if len(body) > long.WHOLE:
        decoded = yield from long.decode(body, layouts, limits, device=device, received_us=received_us)
    else:
        batch = fast.decode(body, layouts, device=device, received_us=received_us)
        decoded = None if batch is None else Decoded(batch, [])
    if decoded is None:
        decoded = yield from careful.decode(body, layouts, limits, device=device, received_us=received_us)
    check_count(len(decoded.batch), decoded.readings, limits)
    return decoded
