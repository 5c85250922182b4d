"""Native JSON → columns, item by item: keeps the good, names the bad. Pure; raises BadPayload, TooLarge.

Slower than `native` and used only when that cannot read a body whole. It reads with the standard library's decoder,
which tells 9007199254740993 from 9007199254740993.0 and lets NaN through, so that one bad value is one refusal.
"""

import json
from array import array
from collections.abc import Iterator
from math import isfinite
from typing import Any, NamedTuple

from gateway.advice import bare, pointer, refuse
from gateway.errors import BadPayload, Reason, TooLarge
from gateway.layouts import METRIC_NAME, Layouts
from gateway.model import MAX_EXACT, MAX_TEXT_BYTES, Batch, Decoded, Kind, Metric, Refusal
from gateway.wire import timestamps
from gateway.wire.native import is_storable
from gateway.wire.places import Form, Places

FIELDS = {
    Form.FLAT: {"device", "ts", "metric", "value"},
    Form.VALUES: {"device", "ts", "values"},
    Form.READINGS: {"device", "readings"},
    Form.COLUMNS: {"device", "ts", "values"},
}
MOMENT_FIELDS = {"ts", "values"}
INT64 = range(-(2**63), 2**63)


def decode(body: bytes, layouts: Layouts, *, device: str | None, received_us: int, max_readings: int) -> Decoded:
    """Return every reading that can be understood and a refusal for each that cannot."""
    posted = _parse(body)
    single = not isinstance(posted, list)
    items = [posted] if single else posted
    if len(items) > max_readings:
        raise TooLarge(limit="http.max_readings", max_readings=max_readings, value=len(items))
    reader = _Reader(layouts, single=single, device=device, received_us=received_us)
    for index, item in enumerate(items):
        reader.read(index, item)
    return Decoded(reader.batch, reader.refusals)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"))
    except RecursionError:
        raise BadPayload("the body is nested too deeply") from None
    except ValueError as exc:  # JSONDecodeError, UnicodeDecodeError, integers of more than 4300 digits
        raise BadPayload(f"the body is not JSON: {_clean(exc)}") from None


def _clean(exc: ValueError) -> str:
    return str(exc).split(";")[0][:200].encode("utf-8", "replace").decode()


class _Place(NamedTuple):
    """Where in the body we are, and for which device."""

    item: int
    path: str
    form: Form
    sub: int
    device: str


class _Reader:
    """Collects one body's batch and refusals."""

    def __init__(self, layouts: Layouts, *, single: bool, device: str | None, received_us: int) -> None:
        self._layouts = layouts
        self._single = single
        self._device = device
        self._received_us = received_us
        self._forms: list[Form] = []
        self._items = array("i")
        self._subs = array("i")
        self.batch = Batch(Places(single=single, forms=self._forms, items=self._items, subs=self._subs))
        self.refusals: list[Refusal] = []

    def read(self, index: int, item: Any) -> None:
        """Take one posted item apart."""
        path = "" if self._single else f"/{index}"
        if not isinstance(item, dict):
            self._refuse(Reason.BAD_ITEM, index, path, value=_sort(item))
            return
        form = _form(item)
        width = _width(item, form)
        unknown = next((key for key in item if key not in FIELDS[form]), None)
        if unknown is not None:
            where = f"{path}/{pointer(unknown)}"
            self._refuse(Reason.UNKNOWN_FIELD, index, where, readings=width, value=unknown)
            return
        device = self._name(item.get("device"), index, path, width)
        if device is not None:
            for place, ts, values in self._messages(item, _Place(index, path, form, 0, device)):
                self._message(place, ts, values)

    def _name(self, named: Any, index: int, path: str, width: int) -> str | None:
        """Return the device the item is of, or refuse the item."""
        if named is None:
            if self._device is None:
                self._refuse(Reason.MISSING_DEVICE, index, path, readings=width)
            return self._device
        where = f"{path}/device"
        if not isinstance(named, str):
            self._refuse(Reason.BAD_DEVICE_NAME, index, where, readings=width, value=named)
            return None
        if self._device not in (None, named):
            self._refuse(Reason.DEVICE_MISMATCH, index, where, readings=width, value=named, limit=self._device)
            return None
        return named

    def _messages(self, item: dict[str, Any], place: _Place) -> Iterator[tuple[_Place, Any, dict[str, Any]]]:
        """Yield the messages an item holds; refuses what is not even shaped like one."""
        if place.form is Form.FLAT:
            yield from self._flat(item, place)
        elif place.form is Form.READINGS:
            yield from self._readings(item["readings"], place)
        elif place.form is Form.COLUMNS:
            yield from self._columns(item, place)
        elif isinstance(item.get("values"), dict):
            yield place, item.get("ts"), item["values"]
        else:
            self._refuse_at(Reason.NO_VALUES, place)

    def _flat(self, item: dict[str, Any], place: _Place) -> Iterator[tuple[_Place, Any, dict[str, Any]]]:
        metric = item.get("metric")
        if "value" not in item:
            self._refuse_at(Reason.NO_VALUES, place)
        elif not isinstance(metric, str):
            self._refuse_at(Reason.BAD_METRIC_NAME, place, below="/metric", value=metric)
        else:
            yield place, item.get("ts"), {metric: item["value"]}

    def _readings(self, moments: Any, place: _Place) -> Iterator[tuple[_Place, Any, dict[str, Any]]]:
        if not isinstance(moments, list) or not moments:
            self._refuse_at(Reason.NO_VALUES, place, below="/readings")
            return
        for sub, moment in enumerate(moments):
            here = place._replace(sub=sub)
            below = f"/readings/{sub}"
            if not isinstance(moment, dict):
                self._refuse_at(Reason.BAD_ITEM, here, below=below, value=_sort(moment))
            elif unknown := [key for key in moment if key not in MOMENT_FIELDS]:
                below = f"{below}/{pointer(unknown[0])}"
                self._refuse_at(
                    Reason.UNKNOWN_FIELD,
                    here,
                    below=below,
                    readings=_size(moment.get("values")),
                    value=unknown[0],
                )
            elif not isinstance(moment.get("values"), dict):
                self._refuse_at(Reason.NO_VALUES, here, below=below)
            else:
                yield here, moment.get("ts"), moment["values"]

    def _columns(self, item: dict[str, Any], place: _Place) -> Iterator[tuple[_Place, Any, dict[str, Any]]]:
        stamps, columns = item["ts"], item.get("values")
        if not isinstance(columns, dict) or not stamps:
            self._refuse_at(Reason.NO_VALUES, place)
            return
        good: dict[str, list[Any]] = {}
        for metric, column in columns.items():
            if isinstance(column, list) and len(column) == len(stamps):
                good[metric] = column
            else:
                size = len(column) if isinstance(column, list) else bare("no list of")
                self._refuse_at(
                    Reason.LENGTH_MISMATCH,
                    place,
                    below=f"/values/{pointer(metric)}",
                    metric=metric,
                    readings=_size(column),
                    value=size,
                    limit=len(stamps),
                )
        for sub, ts in enumerate(stamps if good else ()):
            yield place._replace(sub=sub), ts, {metric: column[sub] for metric, column in good.items()}

    def _message(self, place: _Place, ts: Any, values: dict[str, Any]) -> None:
        """Add the message with those of its values that may come in."""
        origins = Places(
            single=self._single, forms=place.form, items=array("i", [place.item]), subs=array("i", [place.sub])
        )
        path = origins.locate(0, None)[1]
        if not values:
            self._refuse(Reason.NO_VALUES, place.item, path, device=place.device)
            return
        time_us = self._time(ts)
        if time_us is None:
            below = path if place.form is Form.COLUMNS else f"{path}/ts"
            self._refuse(
                Reason.BAD_TIMESTAMP,
                place.item,
                below,
                device=place.device,
                readings=len(values),
                value=ts,
            )
            return
        good: dict[Metric, Any] = {}
        for name, value in values.items():
            metric = self._examine(name, value, place, origins)
            if metric is not None:
                good[metric] = value
        if good:
            self._add(place, time_us, good)

    def _time(self, ts: Any) -> int | None:
        if ts is None:
            return self._received_us + len(self.batch)
        try:
            return timestamps.to_us(ts)
        except (ValueError, TypeError, OverflowError):
            return None

    def _examine(self, name: str, value: Any, place: _Place, origins: Places) -> Metric | None:
        """Return the metric the value belongs to, or refuse it."""
        verdict = _verdict(name, value, self._layouts)
        if isinstance(verdict, Metric):
            return verdict
        reason, shown, limit = verdict
        self._refuse(
            reason,
            place.item,
            origins.locate(0, name)[1],
            device=place.device,
            metric=name,
            value=shown,
            limit=limit,
        )
        return None

    def _add(self, place: _Place, time_us: int, good: dict[Metric, Any]) -> None:
        metrics = tuple(sorted(good))
        number = self._layouts.define(metrics)
        if number is None:
            self._refuse_at(
                Reason.SERIES_LIMIT,
                place,
                readings=len(good),
                value=bare("sets of metrics in one gateway"),
                limit=len(self._layouts.table),
            )
            return
        self.batch.add(place.device, time_us, self._layouts.table[number], [good[m] for m in metrics])
        self._forms.append(place.form)
        self._items.append(place.item)
        self._subs.append(place.sub)

    def _refuse_at(
        self,
        reason: Reason,
        place: _Place,
        *,
        below: str = "",
        metric: str | None = None,
        readings: int = 1,
        value: object = None,
        limit: object = None,
    ) -> None:
        self._refuse(
            reason,
            place.item,
            place.path + below,
            device=place.device,
            metric=metric,
            readings=readings,
            value=value,
            limit=limit,
        )

    def _refuse(self, reason: Reason, index: int, path: str, **details: Any) -> None:
        self.refusals.append(refuse(reason, index, path, **details))


def _form(item: dict[str, Any]) -> Form:
    if "readings" in item:
        return Form.READINGS
    if "metric" in item or "value" in item:
        return Form.FLAT
    return Form.COLUMNS if isinstance(item.get("ts"), list) else Form.VALUES


def _width(item: dict[str, Any], form: Form) -> int:
    """Count the readings an item holds, as far as that can be told; at least 1."""
    if form is Form.FLAT:
        return 1
    if form is Form.READINGS:
        moments = item["readings"] if isinstance(item["readings"], list) else []
        return max(1, sum(_size(m.get("values")) for m in moments if isinstance(m, dict)))
    values = item.get("values")
    if form is Form.COLUMNS and isinstance(values, dict):
        return max(1, sum(map(_size, values.values())))
    return _size(values)


def _size(values: Any) -> int:
    return max(1, len(values)) if isinstance(values, dict | list) else 1


def _verdict(name: str, value: Any, layouts: Layouts) -> Metric | tuple[Reason, object, object]:
    if not METRIC_NAME.fullmatch(name):
        return Reason.BAD_METRIC_NAME, name, None
    if isinstance(value, str):
        return _text_verdict(name, value)
    if not isinstance(value, bool | int | float):
        return Reason.BAD_VALUE, _sort(value), None
    kind = layouts.kind(name, type(value))
    reason, limit = _number_verdict(value, kind)
    return Metric(name, kind) if reason is None else (reason, value, limit)


def _number_verdict(value: float, kind: Kind) -> tuple[Reason | None, object]:
    if not isinstance(value, int):
        return (None if isfinite(value) else Reason.NOT_FINITE), None
    if kind is Kind.INT:
        return (None if value in INT64 else Reason.INT_OUT_OF_RANGE), bare("int64")
    return (None if abs(value) <= MAX_EXACT else Reason.INT_OUT_OF_RANGE), bare("a double")


def _text_verdict(name: str, value: str) -> Metric | tuple[Reason, object, object]:
    if is_storable(value):
        return Metric(name, Kind.TEXT)
    size = len(value.encode("utf-8", "replace"))
    return (Reason.TEXT_TOO_LONG, size, None) if size > MAX_TEXT_BYTES else (Reason.BAD_TEXT, None, None)


def _sort(value: object) -> bare:
    if value is None:
        return bare("null")
    if isinstance(value, list | dict):
        return bare("an array" if isinstance(value, list) else "an object")
    return bare(repr(value))
