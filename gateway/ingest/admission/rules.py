"""Rules of admission, spelled out message by message. Pure but for the cards, which learn what was admitted."""

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from gateway.core import settings
from gateway.core.durations import DAY_US, SECOND_US
from gateway.core.slices import Steps
from gateway.domain.contracts.ingest import DeviceCard, Directory
from gateway.domain.layouts import Layouts, to_layout
from gateway.domain.model import Batch, Decoded, Kind, Layout, Metric, Origins, Value
from gateway.domain.names import DEVICE_NAME, FOLDERS
from gateway.domain.principal import Principal
from gateway.domain.reasons import Reason
from gateway.domain.refusals import Refusals, bare, refuse
from gateway.ingest.admission.newcomers import Newcomers

STEP = 128
"""Readings between two steps."""


class Picked:
    """The origins of messages taken from another batch."""

    __slots__ = ("origins", "rows")

    def __init__(self, origins: Origins) -> None:
        self.origins = origins
        self.rows = array("i")

    def locate(self, message: int, metric: str | None) -> tuple[int, str]:
        """Ask the batch the message came from."""
        return self.origins.locate(self.rows[message], metric)


class _Verdict(NamedTuple):
    """What a device may do in one body."""

    card: DeviceCard | None
    objection: Reason | None
    over: str = ""
    """The limit that the device is beyond."""


class AdmissionRules:
    """Sifts one batch."""

    def __init__(
        self,
        principal: Principal,
        directory: Directory,
        layouts: Layouts,
        *,
        devices: settings.DeviceSettings,
        clock: settings.ClockSettings,
        retention: settings.RetentionSettings,
        newcomers: Newcomers,
    ) -> None:
        self._principal = principal
        self._directory = directory
        self._layouts = layouts
        self._devices = devices
        self._clock = clock
        self._retention = retention
        self._newcomers = newcomers
        self._cards: dict[str, DeviceCard | None] = {}
        """As they were at the beginning: the directory may drop some between two steps."""
        self._verdicts: dict[str, _Verdict] = {}
        self._refusals = Refusals()

    def apply(self, decoded: Decoded, now_us: int, *, listed: int) -> Steps[Decoded]:
        """Return what may come in and all refusals, those of the decoder first; so many are said in words."""
        source = decoded.batch
        self._refusals = Refusals(listed, decoded.refusals)
        self._source = source
        self._cards = {name: self._directory.card(name) for name in dict.fromkeys(source.devices)}
        work = 0
        origins = Picked(source.origins)
        out = Batch(origins, self._layouts.table)
        for i, row in enumerate(source.rows()):
            layout = source.table[source.layouts[i]]
            work += 1 + layout.width
            if work > STEP:
                work = 0
                yield
            card = self._card(i, layout)
            time_us = None if card is None else self._time(i, layout, now_us)
            if card is None or time_us is None:
                continue
            for part, values in self._parts(i, card, layout, row):
                out.add(source.devices[i], time_us, part, values)
                origins.rows.append(i)
                card.note(part.shape)
        return Decoded(out, self._refusals.all())

    def _card(self, i: int, layout: Layout) -> DeviceCard | None:
        """Return the device's card if it may write, else refuse the message."""
        name = self._source.devices[i]
        verdict = self._verdicts.get(name)
        if verdict is None:
            verdict = self._verdicts[name] = self._judge(name)
        if verdict.objection is None:
            return verdict.card
        self._refuse(verdict.objection, i, readings=layout.width, value=name, limit=bare(verdict.over))
        return None

    def _judge(self, name: str) -> "_Verdict":
        """Look at a device, once for all of its messages in the body."""
        card = self._cards[name]
        if card is None and self._devices.unknown == "auto":
            # The database is away: taken in on faith, its limits are looked at again later.
            card = DeviceCard(known=False)
        objection = self._objection(name, card)
        if objection is None and card is not None and not card.known:
            over = self._newcomers.device(self._principal, name)
            if over is not None:
                return _Verdict(card, Reason.DEVICE_LIMIT, over)
        return _Verdict(card, objection)

    def _objection(self, name: str, card: DeviceCard | None) -> Reason | None:
        if not DEVICE_NAME.fullmatch(name):
            return Reason.BAD_DEVICE_NAME
        if name in FOLDERS and not (card and card.known):
            return Reason.BAD_DEVICE_NAME
        if not self._principal.may_write(name):
            return Reason.DEVICE_FORBIDDEN
        if card is None or not (card.known or self._devices.unknown == "auto"):
            return Reason.UNKNOWN_DEVICE
        return None if card.enabled else Reason.DEVICE_DISABLED

    def _time(self, i: int, layout: Layout, now_us: int) -> int | None:
        """Return the time to store the message at, or refuse it."""
        time_us = self._source.times[i]
        ahead = time_us - now_us
        if ahead > self._clock.max_ahead_secs * SECOND_US:
            if self._clock.ahead == "clamp":
                return now_us + i
            secs = -(-ahead // SECOND_US)  # rounded up: 300.1 s must not be told to be within 300 s
            limit = self._clock.max_ahead_secs
            self._refuse(Reason.TOO_FAR_AHEAD, i, readings=layout.width, value=bare(f"{secs:,}"), limit=limit)
            return None
        if ahead < -self._retention.days * DAY_US:
            moment = datetime.fromtimestamp(time_us // SECOND_US, UTC)
            shown, limit = bare(f"{moment:%Y-%m-%dT%H:%M:%SZ}"), self._retention.days
            self._refuse(Reason.TOO_OLD, i, readings=layout.width, value=shown, limit=limit)
            return None
        return time_us

    def _parts(
        self, i: int, card: DeviceCard, layout: Layout, row: list[Value]
    ) -> Sequence[tuple[Layout, list[Value]]]:
        """Return the message, less what is refused; one message per metric where it would be a shape too many."""
        if layout.shape in card.shapes:
            return self._whole(i, layout, row)
        is_full = len(card.metrics) >= self._devices.max_metrics  # then nothing new comes of it
        over = None if is_full else self._newcomers.shape(self._principal, layout.shape, layout.width)
        if over is not None:
            width = layout.width
            self._refuse(Reason.NEW_METRICS_LIMIT, i, readings=width, value=width, limit=bare(over))
            return []
        good = {
            metric: value for metric, value in zip(layout.posted, row, strict=True) if self._may_report(i, card, metric)
        }
        if len(good) == layout.width and len(card.shapes) < self._devices.max_shapes:
            return self._whole(i, layout, row)
        if not good:
            return []
        metrics = tuple(sorted(good))
        if len(card.shapes) < self._devices.max_shapes or to_layout(0, metrics).shape in card.shapes:
            groups = [metrics]
        else:
            groups = [(metric,) for metric in metrics]
        return [part for group in groups if (part := self._part(i, group, good)) is not None]

    def _whole(self, i: int, layout: Layout, row: list[Value]) -> Sequence[tuple[Layout, list[Value]]]:
        """Return the message as it is; in the table of today, should a new one have begun while we looked it up."""
        if self._source.table is self._layouts.table:
            return [(layout, row)]
        part = self._part(i, tuple(sorted(layout.posted)), dict(zip(layout.posted, row, strict=True)))
        return [] if part is None else [part]

    def _part(
        self, i: int, metrics: tuple[Metric, ...], values: dict[Metric, Value]
    ) -> tuple[Layout, list[Value]] | None:
        number = self._layouts.define(metrics)
        if number is None:
            what = bare("sets of metrics in one gateway")
            limit = len(self._layouts.table)
            self._refuse(Reason.SERIES_LIMIT, i, readings=len(metrics), value=what, limit=limit)
            return None
        return self._layouts.table[number], [values[metric] for metric in metrics]

    def _may_report(self, i: int, card: DeviceCard, metric: Metric) -> bool:
        """Whether the device may report this metric; a new one is refused past the limits, known ones never."""
        if metric in card.metrics:
            return True
        if self._devices.kind_change == "refuse":
            other = next((kind for kind in Kind if Metric(metric.name, kind) in card.metrics), None)
            if other is not None:
                value, limit = bare(metric.kind), bare(other)
                self._refuse(Reason.TYPE_CONFLICT, i, metric=metric.name, value=value, limit=limit)
                return False
        if len(card.metrics) >= self._devices.max_metrics:
            value, most = bare("metrics a device (devices.max_metrics)"), self._devices.max_metrics
            self._refuse(Reason.SERIES_LIMIT, i, metric=metric.name, value=value, limit=most)
            return False
        card.metrics.add(metric)
        return True

    def _refuse(
        self,
        reason: Reason,
        i: int,
        *,
        metric: str | None = None,
        readings: int = 1,
        value: object = None,
        limit: object = None,
    ) -> None:
        if self._refusals.is_full:
            self._refusals.count(reason, readings)
            return
        index, path = self._source.origins.locate(i, metric)
        device = self._source.devices[i]
        self._refusals.add(
            refuse(reason, index, path, device=device, metric=metric, readings=readings, value=value, limit=limit)
        )
