"""What comes back from our own stores: records of the spool, and newest messages in Redis."""

import zlib
from contextlib import suppress

from gateway.domain.contracts.newest import NewestMessage
from gateway.domain.layouts import Layouts
from gateway.ingest import wire
from gateway.ingest.spool import codec as spool
from gateway.state import codec as state
from tests.fuzz.target import target


def _record() -> bytes:
    layouts = Layouts()
    messages = (
        b'{"device":"d1","ts":1732277000123,"values":{"t":1.5,"n":2,"s":"x","b":true}},{"device":"d2","values":{"t":1}}'
    )
    body = b"[%b]" % messages
    found = wire.decode(body, None, layouts, device=None, received_us=1_732_277_001_000_000, max_readings=100)
    return spool.encode(found.batch).content


@target("records", "records of the spool, with a checksum that is theirs", [_record()])
def records(data: bytes) -> None:
    """A batch whose columns fit together, which is the same again when written again, or DamagedRecord."""
    rest = data[spool.HEAD :]
    head = bytes([spool.VERSION])
    for record in (data, head + zlib.crc32(rest, zlib.crc32(head)).to_bytes(4, "little") + rest):
        layouts = Layouts()
        try:
            batch = spool.decode(record, layouts)
        except spool.DamagedRecord:
            continue
        again = spool.decode(spool.encode(batch).content, Layouts())
        assert (again.devices, again.times, again.texts) == (batch.devices, batch.times, batch.texts)
        assert again.doubles.tobytes() == batch.doubles.tobytes()
        assert again.readings == batch.readings


PACKED = state.pack(NewestMessage(7, 1_732_277_001_000_000, (1.5, 2.0), (3,), ("x", "é")))


@target("packing", "newest messages as Redis has them", [PACKED, b"\x02d1" + PACKED])
def packing(data: bytes) -> None:
    """A message, or one of the errors that say that the bytes are not ours."""
    with suppress(*state.NOT_OURS):
        found = state.unpack(data[:4], data[8:])
        assert isinstance(found.time_us, int)
        again = state.pack(found)
        assert state.unpack(again[:4], again[8:]).time_us == found.time_us
    with suppress(ValueError, IndexError):
        state.split(data)
