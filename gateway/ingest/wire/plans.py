"""Plans: which of the four shapes a body's items have, told by its first keys, and the typed decoders of that shape.

A plan is a guess: where it is wrong, or items are of several shapes, its decoders raise, and nobody tries another one.
"""

import re
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from gateway.ingest.wire.device_time import Timestamp
from gateway.ingest.wire.pointers import Form

Number = float
Scalar = bool | int | float | str


class _Item(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    device: str | UnsetType | None = UNSET


class _Values(_Item):
    values: dict[str, Number]
    ts: Timestamp | UnsetType = UNSET


class _TypedValues(_Item):
    values: dict[str, Scalar]
    ts: Timestamp | UnsetType = UNSET


class _Flat(_Item):
    metric: str
    value: Number
    ts: Timestamp | UnsetType = UNSET


class _TypedFlat(_Item):
    metric: str
    value: Scalar
    ts: Timestamp | UnsetType = UNSET


class _Moment(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    values: dict[str, Number]
    ts: Timestamp | UnsetType = UNSET


class _TypedMoment(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    values: dict[str, Scalar]
    ts: Timestamp | UnsetType = UNSET


class _Readings(_Item):
    readings: list[_Moment]


class _TypedReadings(_Item):
    readings: list[_TypedMoment]


class _Columns(_Item):
    values: dict[str, list[Number]]
    ts: list[Timestamp]


class _TypedColumns(_Item):
    values: dict[str, list[Scalar]]
    ts: list[Timestamp]


class RawColumns(_Item):
    """An item of columns that are still to be read."""

    values: dict[str, msgspec.Raw]
    ts: msgspec.Raw


class Plan(NamedTuple):
    """One way to read a body."""

    form: Form
    typed: bool
    """Whether values may be bools, integers and text, too; else all are doubles."""
    decoder: msgspec.json.Decoder[Any]


def _plan(form: Form, kind: type[_Item], *, typed: bool) -> Plan:
    return Plan(form, typed, msgspec.json.Decoder(list[kind] | kind))  # type: ignore[valid-type]


PLANS: dict[Form, tuple[Plan, Plan]] = {
    Form.VALUES: (_plan(Form.VALUES, _Values, typed=False), _plan(Form.VALUES, _TypedValues, typed=True)),
    Form.FLAT: (_plan(Form.FLAT, _Flat, typed=False), _plan(Form.FLAT, _TypedFlat, typed=True)),
    Form.READINGS: (_plan(Form.READINGS, _Readings, typed=False), _plan(Form.READINGS, _TypedReadings, typed=True)),
    Form.COLUMNS: (_plan(Form.COLUMNS, _Columns, typed=False), _plan(Form.COLUMNS, _TypedColumns, typed=True)),
}
"""For each shape how to read it when all values are numbers, which is usual and costs least, and when not."""

RAW_COLUMNS = msgspec.json.Decoder(RawColumns)
LISTS: tuple[msgspec.json.Decoder[Any], ...] = (msgspec.json.Decoder(list[Number]), msgspec.json.Decoder(list[Scalar]))
"""A column of numbers, and of anything that may be stored."""
STAMPS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Timestamp])

_TELLING = re.compile(
    rb'"(?:(?P<flat>metric|value)"\s*:|(?P<readings>readings)"\s*:|ts"\s*:\s*(?P<stamps>\[)'
    rb'|values"\s*:\s*(?P<values>\{(?:\s*"[^"]*"\s*:\s*(?P<column>\[))?))'
)
"""The first key that tells one shape from the others."""
_SHAPES = {
    "flat": Form.FLAT,
    "readings": Form.READINGS,
    "stamps": Form.COLUMNS,
    "values": Form.VALUES,
}
HEAD = 4096
"""Bytes in which that key must stand."""


def guess(body: bytes) -> Form | None:
    """Return the shape that the items of a body seem to have, None if none of them."""
    found = _TELLING.search(body, 0, HEAD)
    if found is None:
        return None
    return Form.COLUMNS if found["column"] else _SHAPES[found.lastgroup or "values"]
