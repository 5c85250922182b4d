"""Dead letters: how one is made of a refused item, kept, shown and asked for. No I/O."""

import base64
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.errors import BadRequest
from gateway.core.timestamps import parse_moment, to_datetime
from gateway.domain.model import Batch, Kind, Layout, Value
from gateway.domain.reasons import Reason

MAX_PAGE = 1000
"""Letters of one page, and of one replay."""
MAX_ID = 2**63 - 1
MAX_FILTER = 1000
"""Characters of a device's name as it is kept: it may come from a topic that is no good name."""
_WORD = re.compile(r"[a-z0-9_]{1,64}")
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which letters are meant; None means all."""

    code: str | None = None
    device: str | None = None
    source: str | None = None
    since: datetime | None = None
    """Refused at this time or later, for the last time."""
    replayed: bool | None = None

    @property
    def everything(self) -> bool:
        """Whether every letter is meant."""
        return self == DeadLetterFilter()


class DeadLetter(NamedTuple):
    """A refused or poisonous item, kept with its bytes and reason."""

    source: str
    """`mqtt` or `database`."""
    code: str
    detail: str
    device: str | None
    payload: bytes
    topic: str | None = None


class StoredDeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as it is kept."""

    id: int
    source: str
    code: str
    detail: str
    device: str | None
    topic: str | None
    first_at: datetime
    last_at: datetime
    count: int
    """How many times the same item was refused."""
    replayed_at: datetime | None
    size: int
    """Bytes of the payload."""
    payload: bytes | None
    """The original bytes; None where a list leaves out a large one."""


class Readable(NamedTuple):
    """Bytes as JSON can say them."""

    text: str
    encoding: Literal["utf-8", "base64"]


def to_readable(payload: bytes) -> Readable:
    """Return UTF-8 as it is, and anything else in Base64 (RFC 4648 4)."""
    try:
        return Readable(payload.decode(), "utf-8")
    except UnicodeDecodeError:
        return Readable(base64.b64encode(payload).decode(), "base64")


class DeadLetterItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was refused over MQTT or by the database. The same item again raises `count` and `last_at`."""

    id: Annotated[int, Meta(ge=1, le=MAX_ID)]
    source: Annotated[str, Meta(description="`mqtt` or `database`.")]
    code: Annotated[str, Meta(description="Why it was refused.")]
    detail: str
    device: Annotated[str | None, Meta(description="As the topic named it.")]
    topic: str | None
    first_at: datetime
    last_at: datetime
    count: Annotated[int, Meta(ge=1, description="How many times the same item was refused.")]
    replayed_at: datetime | None
    size: Annotated[int, Meta(ge=0, description="Bytes of the payload.")]
    payload: Annotated[str | None, Meta(description="Text or Base64; null where a list leaves out a large one.")]
    encoding: Literal["utf-8", "base64"] | None


def to_item(letter: StoredDeadLetter) -> DeadLetterItem:
    """Return a letter for JSON: its payload as text with its `encoding`; both are null where it was left out."""
    shown = None if letter.payload is None else to_readable(letter.payload)
    text, encoding = shown or (None, None)
    return DeadLetterItem(**msgspec.structs.asdict(letter) | {"payload": text, "encoding": encoding})


def to_dead_letters(group: Sequence[Batch], words: Mapping[int, str]) -> list[DeadLetter]:
    """Return a letter for each message that has `words`, by its place in the group; its payload can be posted again."""
    letters = []
    places = sorted(words)
    first = 0
    for batch in group:
        with_any = bisect_left(places, first) < bisect_left(places, first + len(batch))
        for i, row in enumerate(batch.rows() if with_any else ()):
            if first + i in words:
                payload = _to_body(batch.devices[i], batch.times[i], batch.table[batch.layouts[i]], row)
                code = Reason.REJECTED_BY_DATABASE
                letters.append(DeadLetter("database", code, words[first + i], batch.devices[i], payload))
        first += len(batch)
    return letters


def _to_body(device: str, time_us: int, layout: Layout, row: Sequence[Value]) -> bytes:
    """Form the posted item anew; the time as text, whose unit does not depend on its size."""
    values = {
        metric.name: bool(value) if metric.kind is Kind.BOOL else value
        for metric, value in zip(layout.posted, row, strict=True)
    }
    return msgspec.json.encode({"device": device, "ts": to_datetime(time_us), "values": values})


def to_dead_letter_filter(
    *,
    code: str | None = None,
    device: str | None = None,
    source: str | None = None,
    since: str | None = None,
    replayed: str | None = None,
) -> DeadLetterFilter:
    """Check a question. Raises BadRequest for what no letter can have."""
    for name, word in (("code", code), ("source", source)):
        if word is not None and not _WORD.fullmatch(word):
            raise BadRequest(f"{name}={_shown(word)} is no {name}; it has 1 to 64 of a-z 0-9 _", parameter=name)
    if device is not None and not _can_be_stored(device):
        raise BadRequest(f"device={_shown(device)} cannot name a device", parameter="device")
    if replayed not in (None, "true", "false"):
        raise BadRequest(f"replayed={_shown(replayed)} is not true or false", parameter="replayed")
    return DeadLetterFilter(
        code=code,
        device=device,
        source=source,
        since=None if since is None else _to_moment(since),
        replayed=None if replayed is None else replayed == "true",
    )


def to_number(text: str, *, parameter: str, highest: int = MAX_ID) -> int:
    """Read a positive whole number, such as an id, a cursor or a limit. Raises BadRequest."""
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= highest:
        raise BadRequest(f"{parameter}={_shown(text)} is not a whole number from 1 to {highest}", parameter=parameter)
    return number


def _to_moment(text: str) -> datetime:
    moment = parse_moment(text)
    if moment is None:
        raise BadRequest(
            f"since={_shown(text)} is no moment; send RFC 3339 with a zone, such as 2026-01-31T12:00:00Z",
            parameter="since",
        )
    return moment


def _can_be_stored(text: str) -> bool:
    return 0 < len(text) <= MAX_FILTER and "\0" not in text and not re.search(r"[\ud800-\udfff]", text)


def _shown(text: str) -> str:
    return ascii(text[:60])
