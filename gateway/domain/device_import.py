"""Import of devices: NDJSON or CSV → changes, each with its line. Pure: what is wrong with a row is said of that row.

NDJSON: an object a line, {"device": …, "enabled": bool, "tags": {key: text or null}}: a merge patch (RFC 7396).
CSV (RFC 4180): a header of `device`, `enabled` and `tag:KEY`; an empty cell leaves the thing as it is. Both are UTF-8,
with or without a byte order mark.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.core.errors import BadPayload, BadRequest, ClientError, TooLarge
from gateway.domain.devices import DevicePatch, TagKey, TagValue, check_tag_key, check_tags
from gateway.domain.json_text import decode, without_mark
from gateway.domain.names import check_device_name

MAX_ROWS = 10_000
"""Rows of one import."""
MAX_LINES, MAX_LINE_BYTES = 10 * MAX_ROWS, 128 * 1024
"""Of its text, with what is blank: so much of it is looked at in vain at most."""
NDJSON, CSV = "application/x-ndjson", "text/csv"
TAG = "tag:"
"""How the column of a tag begins."""
SWITCH = {"": None, "true": True, "false": False}


Status = Literal["created", "updated", "unchanged", "refused"]


class ImportRow(NamedTuple):
    """One device of an import."""

    line: int
    """From 1; of a CSV record the line it begins on."""
    device: str | None
    change: DevicePatch
    problem: ClientError | None = None
    """Why it cannot be taken; the change is empty then."""


class ImportResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a row."""

    line: Annotated[int, Meta(ge=1)]
    device: str | None
    status: Status
    code: str | None = None
    message: str | None = None


class DeviceMergePatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall become different (RFC 7396); what is left out stays as it is."""

    enabled: bool | UnsetType = UNSET
    tags: Annotated[
        dict[TagKey, TagValue | None] | UnsetType | None,
        Meta(description="Tags to set; null removes one, or all of them."),
    ] = UNSET


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: str
    enabled: bool | UnsetType = UNSET
    tags: dict[str, str | None] | UnsetType | None = UNSET


_entry = msgspec.json.Decoder(_Entry)


def parse(body: bytes, media: str) -> list[ImportRow]:
    """Return the rows of a body of type NDJSON or CSV.

    Raises BadPayload for CSV that cannot be read, BadRequest for a header that cannot be meant, TooLarge.
    """
    _check_lines(body)
    rows: list[ImportRow] = []
    for row in _ndjson(body) if media == NDJSON else _csv(body):
        if len(rows) == MAX_ROWS:
            raise TooLarge(f"an import has at most {MAX_ROWS} rows; send it in parts", limit="rows", value=MAX_ROWS)
        rows.append(row)
    return rows


def tally(results: Sequence[ImportResult]) -> dict[str, int]:
    """Return how many rows met each fate."""
    counts: dict[str, int] = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
    for result in results:
        counts[result.status] += 1
    return counts


def to_change(enabled: bool | UnsetType, tags: dict[str, str | None] | UnsetType | None) -> DevicePatch:  # noqa: FBT001
    """Return what a merge patch says. Raises BadRequest for tags that cannot be."""
    given: dict[str, str | None] = tags if isinstance(tags, dict) else {}
    check_tags(given)
    return DevicePatch(enabled=None if enabled is UNSET else enabled, tags=given, clear=tags is None)


def _check_lines(body: bytes) -> None:
    """Raise TooLarge for more lines than any import needs, or a longer one."""
    lines = body.count(b"\n") + body.count(b"\r")
    if lines > MAX_LINES:
        raise TooLarge(f"an import has at most {MAX_LINES} lines, not {lines}", limit="lines", value=MAX_LINES)
    longest = max(map(len, body.replace(b"\r", b"\n").split(b"\n")))
    if longest > MAX_LINE_BYTES:
        raise TooLarge(
            f"a line of an import has at most {MAX_LINE_BYTES} bytes, not {longest}",
            limit="line_bytes",
            value=MAX_LINE_BYTES,
        )


def _ndjson(body: bytes) -> Iterator[ImportRow]:
    for number, line in enumerate(without_mark(body).split(b"\n"), 1):
        if line.strip():
            yield _object(number, line)


def _object(number: int, line: bytes) -> ImportRow:
    device = None
    try:
        entry = decode(_entry, line, what="the row", cannot="cannot be taken")
        device = entry.device
        check_device_name(device)
        return ImportRow(number, device, to_change(entry.enabled, entry.tags))
    except (BadPayload, BadRequest) as exc:
        return ImportRow(number, device, DevicePatch(), exc)


def _csv(body: bytes) -> Iterator[ImportRow]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise BadPayload(f"the body is not UTF-8: {exc}") from exc
    records = _records(text)
    _, header = next(records, (1, []))
    _check_header(header)
    for line, cells in records:
        yield _record(line, header, cells)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield records that are not blank, with the line each begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as exc:
            raise BadPayload(f"line {line} is not CSV: {exc}; nothing was imported") from exc
        if cells is None:
            return
        if cells:
            yield line, cells


def _check_header(header: list[str]) -> None:
    if "device" not in header:
        raise BadRequest("the first line of CSV names the columns; one of them must be device", parameter="device")
    seen: set[str] = set()
    for column in header:
        if column in seen:
            raise BadRequest(f"column {column[:80]!a} stands twice", parameter="header")
        seen.add(column)
        if column.startswith(TAG):
            check_tag_key(column.removeprefix(TAG))
        elif column not in ("device", "enabled"):
            raise BadRequest(
                f"there is no column {column[:80]!a}; known are device, enabled and tag:KEY", parameter="header"
            )


def _record(line: int, header: list[str], cells: list[str]) -> ImportRow:
    given = dict(zip(header, cells, strict=False))
    device = given.get("device")
    try:
        if len(cells) != len(header):
            raise BadRequest(f"the row has {len(cells)} cells, and the header {len(header)}")
        check_device_name(given["device"])
        switch = given.get("enabled", "").lower()  # spreadsheets write TRUE and FALSE
        if switch not in SWITCH:
            raise BadRequest(f"enabled is {switch[:20]!a}; it must be true, false or empty", parameter="enabled")
        tags = {name.removeprefix(TAG): cell for name, cell in given.items() if name.startswith(TAG) and cell}
        check_tags(tags)
        return ImportRow(line, device, DevicePatch(enabled=SWITCH[switch], tags=tags))
    except BadRequest as exc:
        return ImportRow(line, device, DevicePatch(), exc)
