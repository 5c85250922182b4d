"""The decoder for long bodies: part by part, or column by column, so that no step takes long. Pure.

What it makes of a body is what `fast` and `careful` would make of it at once. Only a part that is not plain is looked
at item by item. None for a body that does not look like many items, or like columns: `careful` reads any.
"""

from array import array
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.core.errors import BadPayload
from gateway.core.slices import Steps
from gateway.domain.layouts import MAX_METRICS, Layouts
from gateway.domain.model import Batch, Decoded
from gateway.ingest.wire import careful, duplicate_keys, fast
from gateway.ingest.wire.careful import ItemReader
from gateway.ingest.wire.fast import UNREADABLE, Rows
from gateway.ingest.wire.limits import Limits
from gateway.ingest.wire.plans import LISTS, PLANS, RAW_COLUMNS, STAMPS, Plan, RawColumns, guess
from gateway.ingest.wire.pointers import Form
from gateway.ingest.wire.split import PART, UncutError, is_array, parts

WHOLE = 2**18
"""Bytes of a body that is read at once."""
MAX_COLUMNS_BYTES = 2**23
"""Bytes of an item of columns that is read here: to tell its columns apart takes a step."""
ROWS = 2048
"""Messages that are made of columns in one step."""


def decode(
    body: bytes, layouts: Layouts, limits: Limits, *, device: str | None, received_us: int
) -> Steps[Decoded | None]:
    """Return what the body holds; None: `careful` must read it. Raises TooLarge."""
    form = guess(body)
    if form is None:
        return None
    reader = _LongReader(layouts, limits, single=not is_array(body), device=device, received_us=received_us)
    try:
        if form is Form.COLUMNS and reader.single:
            whole = yield from reader.by_columns(body)
        else:
            whole = yield from reader.by_parts(body, form)
    except (*UNREADABLE, UncutError):
        return None
    return reader.decoded if whole else None


class _LongReader:
    """Reads one body."""

    def __init__(self, layouts: Layouts, limits: Limits, *, single: bool, device: str | None, received_us: int) -> None:
        self.single = single
        self._layouts = layouts
        self._device = device
        self._received_us = received_us
        self._reader = ItemReader(layouts, limits, single=single, device=device, received_us=received_us)

    @property
    def decoded(self) -> Decoded:
        """What was read so far."""
        return self._reader.decoded

    def by_parts(self, body: bytes, form: Form) -> Steps[bool]:
        """Read some items in each step; return whether all of them were read. Raises UncutError, UNREADABLE."""
        plans, items = list(PLANS[form]), 0
        for part in parts(body, form):
            batch = self._plain(plans, part)
            if batch is not None:
                items = self._reader.join(batch, item=items)
            elif self.single:
                return False
            else:
                items = yield from self._look(part, items)
            yield
        return True

    def _plain(self, plans: list[Plan], part: bytes) -> Batch | None:
        """Read a part as the one before it was read; or, if that helps, in the other way."""
        received_us = self._received_us + len(self._reader.batch)
        for plan in tuple(plans):
            try:
                batch = fast.read(plan, part, self._layouts, device=self._device, received_us=received_us)
            except UNREADABLE:
                return None
            if batch is not None:
                plans.sort(key=lambda one: one is not plan)
                return batch
        return None

    def _look(self, part: bytes, items: int) -> Steps[int]:
        """Look at a part item by item; return how many items there were up to its end."""
        try:
            found = careful.parse(part)
        except BadPayload:
            raise UncutError from None
        for item in found:
            yield from self._reader.read(items, item)
            items += 1
        return items

    def by_columns(self, body: bytes) -> Steps[bool]:
        """Read one item of columns, some of it in each step; return whether it was. Raises UNREADABLE."""
        if len(body) > MAX_COLUMNS_BYTES:
            return False
        item: RawColumns = RAW_COLUMNS.decode(body)
        if len(item.values) > MAX_METRICS:
            return False
        yield
        if not duplicate_keys.are_counted(body, 2 + (item.device is not UNSET) + len(item.values)):
            return False
        yield
        stamps = yield from _list(item.ts, STAMPS)
        for plan, decoder in zip(PLANS[Form.COLUMNS], LISTS, strict=True):
            try:
                columns = yield from self._columns(item, decoder)
            except msgspec.ValidationError:
                continue
            if {len(column) for column in columns.values()} != {len(stamps)}:
                return False
            batches = yield from self._rows(plan, item, stamps, columns)
            for batch in batches:
                self._reader.join(batch, item=0)
                yield
            if batches:
                return True
        return False

    def _columns(self, item: RawColumns, decoder: "msgspec.json.Decoder[Any]") -> Steps[dict[str, list[Any]]]:
        found: dict[str, list[Any]] = {}
        for name, raw in item.values.items():
            found[name] = yield from _list(raw, decoder)
        return found

    def _rows(
        self, plan: Plan, item: RawColumns, stamps: list[Any], columns: dict[str, list[Any]]
    ) -> Steps[list[Batch]]:
        """Return the messages, none at all if the plan is wrong for them."""
        made: list[Batch] = []
        device = None if item.device is UNSET else item.device
        for start in range(0, len(stamps), ROWS):
            some = stamps[start : start + ROWS]
            values = zip(*[column[start : start + ROWS] for column in columns.values()], strict=True)
            rows = Rows([device] * len(some), some, [dict(zip(columns, row, strict=True)) for row in values], 0)
            rows = rows._replace(items=array("i", bytes(4 * len(some))), subs=array("i", range(len(some))))
            received_us = self._received_us + start
            batch = fast.to_batch(plan, rows, self._layouts, single=True, device=self._device, received_us=received_us)
            if batch is None:
                return []
            made.append(batch)
            yield
        return made


def _list(raw: msgspec.Raw, decoder: "msgspec.json.Decoder[Any]") -> Steps[list[Any]]:
    """Return an array, read in parts that end with a comma. Raises UNREADABLE, also where that stands in a text."""
    text = bytes(raw).strip()
    if text[:1] != b"[":
        raise msgspec.DecodeError
    found: list[Any] = []
    for part in _between_commas(text[1:-1]):
        found += decoder.decode(b"[" + part + b"]")
        yield
    return found


def _between_commas(inner: bytes) -> Iterator[bytes]:
    start = 0
    while True:
        stop = inner.find(b",", start + PART)
        yield inner[start : stop if stop >= 0 else len(inner)]
        if stop < 0:
            return
        start = stop + 1
