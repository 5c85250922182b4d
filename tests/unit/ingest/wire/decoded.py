"""What `wire` decoded, in plain words: messages as dicts, and the place a JSON pointer names. Decides nothing."""

from typing import Any, NamedTuple

from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Kind

RECEIVED_US = 1_732_277_000_123_456


class Message(NamedTuple):
    """A decoded message."""

    device: str
    time_us: int
    values: dict[str, tuple[str, Any]]
    """Metric name → (kind, value)."""


def to_messages(batch: Batch, layouts: Layouts) -> list[Message]:
    """Take the columns apart again."""
    table = layouts.table
    return [
        Message(device, time_us, {m.name: (m.kind.value, _value(m.kind, v)) for m, v in zip(posted, row, strict=True)})
        for device, time_us, posted, row in zip(
            batch.devices,
            batch.times,
            [table[number].posted for number in batch.layouts],
            batch.rows(),
            strict=True,
        )
    ]


def resolve(document: Any, pointer: str) -> Any:
    """Return what an RFC 6901 pointer names. Raises LookupError or ValueError if that is nothing."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} does not start with /")
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def _value(kind: Kind, value: Any) -> Any:
    return bool(value) if kind is Kind.BOOL else value
