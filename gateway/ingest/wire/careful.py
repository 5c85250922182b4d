"""The careful decoder: native JSON → columns, item by item: keeps the good, names the bad. Raises BadPayload, TooLarge.

Slower than `native` and used only when that cannot read a body whole. It reads with the standard library's decoder,
which tells 9007199254740993 from 9007199254740993.0 and lets NaN through, so that one bad value is one refusal.
"""

import json
from array import array
from typing import Any, NamedTuple

from gateway.core.errors import BadPayload, TooLarge
from gateway.domain.json_text import as_posted, fault
from gateway.domain.layouts import Layouts
from gateway.domain.model import Batch, Decoded, Metric, Refusal
from gateway.domain.reasons import Reason
from gateway.domain.refusals import bare, refuse
from gateway.ingest.wire import device_time, items
from gateway.ingest.wire.items import Posted, Said
from gateway.ingest.wire.pointers import Form, Places, within
from gateway.ingest.wire.values import Flaw, to_metric


def decode(body: bytes, layouts: Layouts, *, device: str | None, received_us: int, max_readings: int) -> Decoded:
    """Return every reading that can be understood and a refusal for each that cannot."""
    posted = _parse(body)
    single = not isinstance(posted, list)
    reader = _Reader(layouts, single=single, device=device, received_us=received_us, max_readings=max_readings)
    for index, item in enumerate([posted] if single else posted):
        reader.read(index, item)
    return Decoded(reader.batch, reader.refusals)


def check_count(readings: int, max_readings: int) -> None:
    """Raise TooLarge if a body holds more readings than one request may."""
    if readings > max_readings:
        raise TooLarge(
            f"more than {max_readings} readings in one request (http.max_readings); send them in parts",
            limit="http.max_readings",
            max_readings=max_readings,
        )


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), object_pairs_hook=as_posted)
    except RecursionError:
        raise BadPayload("the body is nested too deeply") from None
    except ValueError as exc:  # JSONDecodeError, UnicodeDecodeError, integers of more than 4300 digits
        raise BadPayload(f"the body is not JSON: {fault(body) or _clean(exc)}") from None


def _clean(exc: ValueError) -> str:
    return str(exc).split(";")[0][:200].encode("utf-8", "replace").decode()


class _Place(NamedTuple):
    """The item we are at."""

    item: int
    path: str
    device: str
    """Empty as long as none is named."""


class _Reader:
    """Collects one body's batch and refusals."""

    def __init__(
        self, layouts: Layouts, *, single: bool, device: str | None, received_us: int, max_readings: int
    ) -> None:
        self._layouts = layouts
        self._single = single
        self._device = device
        self._received_us = received_us
        self._max_readings = max_readings
        self._readings = 0
        self._forms: list[Form] = []
        self._items = array("i")
        self._subs = array("i")
        self.batch = Batch(Places(single=single, forms=self._forms, items=self._items, subs=self._subs), layouts.table)
        self.refusals: list[Refusal] = []

    def read(self, index: int, item: Any) -> None:
        """Take one posted item apart. Raises TooLarge as soon as the body holds too many readings."""
        place = _Place(index, "" if self._single else f"/{index}", self._device or "")
        if not isinstance(item, dict):
            self._refuse(place, Flaw(Reason.BAD_ITEM, value=item))
            return
        form = items.to_form(item)
        flaw = items.said_twice(item, form)
        named = item.get("device")
        if isinstance(named, str) and (flaw is None or flaw.below != "/device"):
            place = place._replace(device=named)
        flaw = flaw or items.unknown_field(item, form) or self._device_flaw(item, form)
        if flaw is not None:
            self._refuse(place, flaw)
            return
        for found in items.messages(item, form):
            if isinstance(found, Flaw):
                self._refuse(place, found)
            else:
                self._take(place, form, found)

    def _device_flaw(self, item: Posted, form: Form) -> Flaw | None:
        """Refuse an item that names no device, or another than the address does."""
        named = item.get("device")
        if named is None:
            return None if self._device is not None else Flaw(Reason.MISSING_DEVICE, "", items.width(item, form))
        if not isinstance(named, str):
            return Flaw(Reason.BAD_DEVICE_NAME, "/device", items.width(item, form), named)
        if self._device not in (None, named):
            return Flaw(Reason.DEVICE_MISMATCH, "/device", items.width(item, form), named, self._device)
        return None

    def _take(self, place: _Place, form: Form, said: Said) -> None:
        """Add the message with those of its values that may come in."""
        time_us = self._time(said.ts)
        if time_us is None:
            below = within(form, said.sub, None) + ("" if form is Form.COLUMNS else "/ts")
            self._refuse(place, Flaw(Reason.BAD_TIMESTAMP, below, len(said.values), said.ts))
            return
        good: dict[Metric, Any] = {}
        for name, value in said.values.items():
            verdict = to_metric(name, value, self._layouts)
            if isinstance(verdict, Metric):
                good[verdict] = value
            else:
                self._refuse(place, verdict._replace(below=within(form, said.sub, name), metric=name))
        if good:
            self._add(place, form, sub=said.sub, time_us=time_us, good=good)

    def _time(self, ts: Any) -> int | None:
        if ts is None:
            return self._received_us + len(self.batch)
        try:
            return device_time.parse_timestamp(ts)
        except (ValueError, TypeError):
            return None

    def _add(self, place: _Place, form: Form, *, sub: int, time_us: int, good: dict[Metric, Any]) -> None:
        metrics = tuple(sorted(good))
        number = self._layouts.define(metrics)
        if number is None:
            what, limit = bare("sets of metrics in one gateway"), len(self._layouts.table)
            self._refuse(place, Flaw(Reason.SERIES_LIMIT, within(form, sub, None), len(good), what, limit))
            return
        self._count(len(good))
        self.batch.add(place.device, time_us, self._layouts.table[number], [good[m] for m in metrics])
        self._forms.append(form)
        self._items.append(place.item)
        self._subs.append(sub)

    def _refuse(self, place: _Place, flaw: Flaw) -> None:
        self._count(flaw.readings)
        refusal = refuse(
            flaw.reason,
            place.item,
            place.path + flaw.below,
            device=place.device or None,
            metric=flaw.metric,
            readings=flaw.readings,
            value=flaw.value,
            limit=flaw.limit,
        )
        self.refusals.append(refusal)

    def _count(self, readings: int) -> None:
        self._readings += readings
        check_count(self._readings, self._max_readings)
