"""The fast decoder: native JSON → columns, the whole body at once. Pure; None for whatever is not plain.

A body whose items all have the same one of the four shapes is decoded by a typed msgspec decoder straight into columns:
first as numbers only, then with bools and text. Everything else is left to `careful`, which names what is wrong.
"""

import struct
from array import array
from collections.abc import Callable, Sequence
from itertools import chain, repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from gateway.domain.layouts import Layouts
from gateway.domain.model import MAX_EXACT, Batch
from gateway.ingest.wire import device_time, duplicate_keys
from gateway.ingest.wire.device_time import Timestamp
from gateway.ingest.wire.plans import PLANS, Plan, guess
from gateway.ingest.wire.pointers import Form, Places
from gateway.ingest.wire.values import is_storable

TINY = 1024
"""Bytes of a body of which it costs less to read it in the usual way in vain than to guess its shape."""
USUAL = PLANS[Form.VALUES][0]
NEW_NAMES = 500
"""Names of layouts that were never seen: a body with more is left to whoever can learn them in slices."""


class Rows(NamedTuple):
    """Messages before their values are taken apart: parallel columns."""

    devices: list[str | None]
    stamps: list[Timestamp]
    values: list[dict[str, Any]]
    keys: int
    """Keys in the body, but for those that name metrics, if each object holds a key once."""
    metrics: int | None = None
    """Keys that name metrics, if they are not one for each reading."""
    items: "array[int] | None" = None
    subs: "array[int] | None" = None


def decode(body: bytes, layouts: Layouts, *, device: str | None, received_us: int) -> Batch | None:
    """Return the batch, or None if the body must be looked at item by item. `device` is the one the address names."""
    try:
        if len(body) <= TINY:
            batch = read(USUAL, body, layouts, device=device, received_us=received_us)
            if batch is not None:
                return batch
        form = guess(body)
        for plan in PLANS[form] if form is not None else ():
            batch = read(plan, body, layouts, device=device, received_us=received_us)
            if batch is not None:
                return batch
    except UNREADABLE:
        pass
    return None


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, duplicate_keys.RepeatedKeyError)
"""What `read` raises for a body that no plan can read."""


def read(plan: Plan, body: bytes, layouts: Layouts, *, device: str | None, received_us: int) -> Batch | None:
    """Return what a plan makes of a body; None: another plan may do better. Raises UNREADABLE."""
    try:
        items = plan.decoder.decode(body)
    except msgspec.ValidationError:
        return None
    single = type(items) is not list
    rows = ROWS[plan.form]([items] if single else items)
    if rows is None:
        return None
    batch = to_batch(plan, rows, layouts, single=single, device=device, received_us=received_us)
    if batch is not None:
        duplicate_keys.check(body, rows.keys + (batch.readings if rows.metrics is None else rows.metrics))
    return batch


def to_batch(
    plan: Plan, rows: Rows, layouts: Layouts, *, single: bool, device: str | None, received_us: int
) -> Batch | None:
    """Return the rows as columns, None if the plan is wrong for them."""
    devices = _devices(rows.devices, device)
    if devices is None:
        return None
    batch = Batch(Places(single=single, forms=plan.form, items=rows.items, subs=rows.subs), layouts.table)
    batch.devices = devices
    try:
        batch.times = device_time.column(rows.stamps, received_us)
    except ValueError:
        return None
    fill = _fill_typed if plan.typed else _fill_numbers
    return batch if fill(batch, rows.values, layouts) else None


def _devices(named: list[str | None], implied: str | None) -> list[str] | None:
    if implied is None:
        return None if None in named else named  # type: ignore[return-value]
    if named.count(None) + named.count(implied) < len(named):
        return None
    return [implied] * len(named)


def _fill_numbers(batch: Batch, values: list[dict[str, Any]], layouts: Layouts) -> bool:
    numbers = _numbers(list(map(tuple, values)), layouts)
    if numbers is None:
        return False
    flat: list[float] = []
    for each in values:
        flat.extend(each.values())
    batch.layouts = numbers
    batch.doubles = _packed(flat)
    batch.readings = len(flat)
    return _are_exact(batch.doubles)


def _packed(flat: list[float]) -> "array[float]":
    """Return the floats as an array; `struct` takes a quarter of the time for many."""
    return array("d", struct.pack(f"{len(flat)}d", *flat) if len(flat) > device_time.SMALL else flat)


def _numbers(orders: list[tuple[str, ...]], layouts: Layouts) -> "array[int] | None":
    """Return the layout number of each message, None if one has none; mostly all say the same names alike."""
    if not orders:
        return array("i")
    if orders.count(orders[0]) == len(orders):
        number = layouts.number(orders[0])
        return None if number is None else array("i", [number]) * len(orders)
    fresh = [names for names in dict.fromkeys(orders) if names not in layouts.numbers]
    if sum(map(len, fresh)) > NEW_NAMES or any(layouts.number(names) is None for names in fresh):
        return None
    return array("i", map(layouts.numbers.__getitem__, orders))


def _fill_typed(batch: Batch, values: list[dict[str, Any]], layouts: Layouts) -> bool:
    room = layouts.table.width + NEW_NAMES
    for each in values:
        row = list(each.values())
        number = layouts.number_typed(tuple(each), tuple(map(type, row)))
        if number is None or layouts.table.width > room:
            return False
        layout = layouts.table[number]
        batch.layouts.append(number)
        batch.readings += len(row)
        try:
            batch.doubles.extend([row[i] for i in layout.doubles])
            batch.ints.extend([row[i] for i in layout.ints])
        except OverflowError:  # JSON integers have no bounds
            return False
        batch.texts.extend([row[i] for i in layout.texts])
    return _are_exact(batch.doubles) and all(map(is_storable, batch.texts))


def _are_exact(doubles: "array[float]") -> bool:
    """Tell that no value can be an integer which a double does not hold: only `careful` sees which it was.

    MAX_EXACT itself is in doubt already: MAX_EXACT + 1 was rounded to it.
    """
    if len(doubles) > device_time.SMALL:
        return bool(np.maximum.reduce(np.abs(np.frombuffer(doubles))) < MAX_EXACT)
    return not doubles or (max(doubles) < MAX_EXACT and min(doubles) > -MAX_EXACT)


def _values_rows(items: Sequence[Any]) -> Rows:
    devices, named = _posted([m.device for m in items])
    stamps, timed = _posted([m.ts for m in items])
    return Rows(devices, stamps, [m.values for m in items], len(items) + named + timed)


def _flat_rows(items: Sequence[Any]) -> Rows:
    devices, named = _posted([m.device for m in items])
    stamps, timed = _posted([m.ts for m in items])
    return Rows(devices, stamps, [{m.metric: m.value} for m in items], 2 * len(items) + named + timed, 0)


def _readings_rows(items: Sequence[Any]) -> Rows | None:
    widths = [len(m.readings) for m in items]
    if 0 in widths:
        return None
    moments = [moment for m in items for moment in m.readings]
    devices, named = _posted([m.device for m in items])
    stamps, timed = _posted([moment.ts for moment in moments])
    values = [moment.values for moment in moments]
    keys = len(items) + named + len(moments) + timed
    return Rows(_repeated(devices, widths), stamps, values, keys, None, *_numbered(widths))


def _columns_rows(items: Sequence[Any]) -> Rows | None:
    widths = [len(m.ts) for m in items]
    if 0 in widths:
        return None
    if any(not m.values or {n} != set(map(len, m.values.values())) for m, n in zip(items, widths, strict=True)):
        return None
    devices, named = _posted([m.device for m in items])
    return Rows(
        _repeated(devices, widths),
        [ts for m in items for ts in m.ts],
        [dict(zip(m.values, row, strict=True)) for m in items for row in zip(*m.values.values(), strict=True)],
        2 * len(items) + named,
        sum(len(m.values) for m in items),
        *_numbered(widths),
    )


def _posted(column: list[Any]) -> tuple[list[Any], int]:
    """Return a field of all items, None where it is absent, and in how many it is not."""
    absent = column.count(UNSET)
    return ([None if one is UNSET else one for one in column] if absent else column), len(column) - absent


def _repeated(devices: list[str | None], widths: list[int]) -> list[str | None]:
    return list(chain.from_iterable(map(repeat, devices, widths)))


def _numbered(widths: list[int]) -> "tuple[array[int], array[int]]":
    items = array("i", chain.from_iterable(repeat(i, n) for i, n in enumerate(widths)))
    return items, array("i", chain.from_iterable(map(range, widths)))


ROWS: dict[Form, Callable[[Sequence[Any]], Rows | None]] = {
    Form.VALUES: _values_rows,
    Form.FLAT: _flat_rows,
    Form.READINGS: _readings_rows,
    Form.COLUMNS: _columns_rows,
}
