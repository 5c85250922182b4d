"""The careful decoder: native JSON → columns, item by item: keeps the good, names the bad. Raises BadPayload, TooLarge.

Slower than `fast` and used only when that cannot read a body whole. It reads with the standard library's decoder,
which tells 9007199254740993 from 9007199254740993.0 and lets NaN through, so that one bad value is one refusal.
"""

import json
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from gateway.core.errors import BadPayload
from gateway.core.slices import Steps
from gateway.domain.json_text import as_posted, fault
from gateway.domain.layouts import MAX_METRICS, Layouts
from gateway.domain.model import Batch, Decoded, Metric
from gateway.domain.reasons import Reason
from gateway.domain.refusals import Refusals, bare, refuse
from gateway.ingest.wire import device_time, items
from gateway.ingest.wire.items import Posted, Said
from gateway.ingest.wire.json_stream import Element, JsonStream
from gateway.ingest.wire.limits import COST, Limits, Work
from gateway.ingest.wire.pointers import Form, Places, within
from gateway.ingest.wire.size import too_many
from gateway.ingest.wire.values import Flaw, to_metric

WHOLE = 2**15
"""Bytes of a body that is parsed at once; a larger one is parsed through a window."""


def decode(body: bytes, layouts: Layouts, limits: Limits, *, device: str | None, received_us: int) -> Steps[Decoded]:
    """Return every reading that can be understood and a refusal for each that cannot."""
    work = Work(limits)
    posted: Iterator[Element | None]
    if len(body) <= WHOLE:
        whole = parse(body)
        single = not isinstance(whole, list)
        posted = map(Element, [whole] if single else whole)
    else:
        stream = JsonStream(body, work.add)
        single, posted = not stream.is_array, stream.elements()
    reader = ItemReader(layouts, limits, work, single=single, device=device, received_us=received_us)
    index = 0
    for element in posted:
        if element is None:
            yield
            continue
        yield from reader.read(index, element.value)
        index += 1
    return reader.decoded


def parse(body: bytes) -> Any:
    """Return what a short JSON text says. Raises BadPayload."""
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


class ItemReader:
    """Collects one body's batch and refusals."""

    def __init__(
        self,
        layouts: Layouts,
        limits: Limits,
        work: Work | None = None,
        *,
        single: bool,
        device: str | None,
        received_us: int,
    ) -> None:
        self._layouts = layouts
        self._single = single
        self._device = device
        self._received_us = received_us
        self._max_readings = limits.max_readings
        self._readings = 0
        self._work = work or Work(limits)
        self._forms: list[Form] = []
        self._items = array("i")
        self._subs = array("i")
        self.batch = Batch(Places(single=single, forms=self._forms, items=self._items, subs=self._subs), layouts.table)
        self.refusals = Refusals(limits.listed)

    @property
    def decoded(self) -> Decoded:
        """What was read."""
        return Decoded(self.batch, self.refusals.all())

    def join(self, part: Batch, *, item: int) -> int:
        """Take over what `fast` made of some items, the first of which is this one; return the number of the next.

        Of a single item they are further moments of it. Raises TooLarge as `read`.
        """
        self._count(part.readings)
        places, whole, messages = part.origins, self.batch, len(part)
        assert isinstance(places, Places)  # noqa: S101
        if places.items is None or places.subs is None:
            numbers, subs = np.arange(messages, dtype=np.int32), np.zeros(messages, np.int32)
        else:
            numbers, subs = np.frombuffer(places.items, np.int32), np.frombuffer(places.subs, np.int32)
        self._forms += [form] * messages if isinstance(form := places.forms, Form) else form
        self._items.frombytes((numbers + np.int32(item)).tobytes())
        self._subs.frombytes((subs + np.int32(len(self._subs) if self._single else 0)).tobytes())
        whole.devices += part.devices
        whole.times += part.times
        whole.layouts += part.layouts
        whole.doubles += part.doubles
        whole.ints += part.ints
        whole.texts += part.texts
        whole.readings += part.readings
        return item if self._single or not messages else item + int(numbers[-1]) + 1

    def read(self, index: int, item: Any) -> Steps[None]:
        """Take one posted item apart. Raises TooLarge as soon as the body holds too many readings."""
        if self._work.is_due:
            yield
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
            if self._work.is_due:
                yield

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
        if len(said.values) > MAX_METRICS:
            below, width = within(form, said.sub, None), len(said.values)
            self._refuse(place, Flaw(Reason.SERIES_LIMIT, below, width, items.TOO_WIDE, MAX_METRICS))
            return
        self._work.add(COST + len(said.values))
        good: dict[Metric, Any] = {}
        for name, value in said.values.items():
            verdict = to_metric(name, value, self._layouts)
            if isinstance(verdict, Metric):
                good[verdict] = value
            elif self.refusals.is_full:
                self._refuse(place, verdict)
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
        known = len(self._layouts.table)
        number = self._layouts.define(metrics)
        if len(self._layouts.table) > known:
            self._work.add(COST + 2 * len(metrics))
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
        self._work.add(COST)
        if self.refusals.is_full:
            self.refusals.count(flaw.reason, flaw.readings)
            return
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
        self.refusals.add(refusal)

    def _count(self, readings: int) -> None:
        self._readings += readings
        if self._readings > self._max_readings:
            raise too_many(self._max_readings)
