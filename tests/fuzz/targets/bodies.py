"""Bodies of readings: decoded as a whole and item by item, and what compressed ones become."""

from pathlib import Path

from hypothesis import strategies as st

from gateway.core.errors import BadPayload, TooLarge, UnsupportedMedia
from gateway.core.slices import at_once
from gateway.ingest.wire import careful, fast
from gateway.ingest.wire.limits import Limits
from gateway.web.limits.decompress import READ, InflatedLimits, inflate
from tests.fuzz.target import target
from tests.property import bodies as made_bodies
from tests.property import test_long_bodies, test_wire
from tests.unit.ingest.wire.decoded import RECEIVED_US, to_messages

GOLDEN = Path(__file__).parents[2] / "golden" / "native"
SEEDS = [path.read_bytes() for path in sorted(GOLDEN.glob("*/input.*")) if path.stat().st_size < 4_000]
MOST = 10_000
"""Bytes after decompression."""
LIMITS = Limits(test_wire.PLENTY, test_wire.PLENTY)


@target(
    "decode", "JSON bodies, the fast way and item by item", SEEDS, made=made_bodies.hostile() | made_bodies.mutated()
)
def decode(data: bytes) -> None:
    """Readings and refusals that hold together, or a clean no; and both ways agree."""
    for device in (None, "d1"):
        layouts = test_wire.make_layouts()
        found = test_wire.decode(data, layouts, device=device)
        if found is not None:
            test_wire.check_columns(found, layouts)
            test_wire.check_refusals(data, found, layouts)
        _agree(data, device)
        test_long_bodies.check(data, device)


def _agree(data: bytes, device: str | None) -> None:
    """What is read whole is read the same item by item."""
    whole, single = test_wire.make_layouts(), test_wire.make_layouts()
    batch = fast.decode(data, whole, device=device, received_us=RECEIVED_US)
    if batch is not None:
        slow = at_once(careful.decode(data, single, LIMITS, device=device, received_us=RECEIVED_US))
        assert slow.refusals == []
        assert to_messages(batch, whole) == to_messages(slow.batch, single)


@target(
    "inflate",
    "compressed bodies of every encoding",
    [
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00" + bytes(8),
        b"\x78\x9c\x03\x00\x00\x00\x00\x01",
        b"\x28\xb5\x2f\xfd\x20\x00",
    ],
    made=st.binary(max_size=400),
)
def decompress(data: bytes) -> None:
    """Never more than the limit, and no other error than those that are answered."""
    for encoding in READ:
        try:
            limits = InflatedLimits(MOST)
            assert len(at_once(inflate(data, encoding=encoding, limits=limits, grown=lambda _: None))) <= MOST
        except (BadPayload, TooLarge, UnsupportedMedia):
            continue
