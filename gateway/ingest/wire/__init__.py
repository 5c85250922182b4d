"""Decoding of bodies: bytes → columns. Pure: no clock, no I/O, raises BadPayload, TooLarge and UnsupportedMedia only.

`decode` is the one way in: it tells the format by the media type. A new format is one more file and one more line here.
"""

from gateway.core.errors import UnsupportedMedia
from gateway.domain.json_text import without_mark
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Decoded
from gateway.ingest.wire import careful, fast

ACCEPTED = ("application/json",)
"""Media types that are read; no media type at all is taken for JSON."""


def plain(body: bytes, layouts: Layouts, *, device: str | None, received_us: int) -> Batch | None:
    """Return the readings of a JSON body that is plain, well-formed and not empty; else None, and `decode` tells."""
    layouts.make_room()
    batch = fast.decode(body, layouts, device=device, received_us=received_us)
    return batch if batch is not None and batch.readings else None


def decode(
    body: bytes, media: str | None, layouts: Layouts, *, device: str | None, received_us: int, max_readings: int
) -> Decoded:
    """Return the readings and refusals in a body. `device` is implied by the address, if it names one."""
    if media and media.partition(";")[0].strip().lower() not in ACCEPTED:
        raise UnsupportedMedia(f"media type {media[:100]!r} is not read here; send {', '.join(ACCEPTED)}")
    layouts.make_room()
    body = without_mark(body)
    batch = fast.decode(body, layouts, device=device, received_us=received_us)
    if batch is None:
        return careful.decode(body, layouts, device=device, received_us=received_us, max_readings=max_readings)
    careful.check_count(batch.readings, max_readings)
    return Decoded(batch, [])
