"""The audit of some devices of a lane, what is stored against the ledger: columns in, findings out. Pure.

The readings of the devices form a grid: device x n x metric. From the ledger follows which cells must be filled, and
which may be; from what is stored, which are, how often, and with what. A reading that was sent in another kind on
purpose (a type flip) is right only in that kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.core.chance import Ints
from simulator.plan.faults import Draw, Fault
from simulator.plan.fleet import Fleet
from simulator.plan.metrics import Metric, Value
from simulator.send.ledger import Ledger, Outcome
from simulator.send.loads.spoil import FLIPPED_NUMBER, FLIPPED_TEXT
from simulator.send.target import Column
from simulator.verify.findings import MAX_PROBLEMS, Findings, Problem, Trouble

_US_IN_MS = 1_000

Grid = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Newest:
    """What the state should show of one series."""

    device: str
    metric: str
    time_us: int
    value: Value


class Audit:
    """The account of devices `first` to `first + count - 1` of a ledger's lane."""

    def __init__(self, fleet: Fleet, ledger: Ledger, *, first: int, count: int, draw: Draw | None = None) -> None:
        """`draw` tells which readings were sent in another kind on purpose."""
        self._fleet = fleet
        self._lane = ledger.lane
        self._first = first
        self._count = count
        self._positions: dict[tuple[str, str], int] = {
            (m.name, kind): i for i, m in enumerate(fleet.metrics) for kind in m.stored_as
        }
        kinds = ["double" if m.kind == "text" else "text" for m in fleet.metrics]
        self._flips = {(m.name, kind): i for i, (m, kind) in enumerate(zip(fleet.metrics, kinds, strict=True))}
        self._required, self._allowed = self._read_ledger(ledger)
        self._flipped = self._read_flips(draw)
        self._seen = np.zeros(self._required.shape, dtype=np.uint16)
        self._wrong = np.zeros(self._required.shape, dtype=np.bool_)
        self._strays = Findings()

    @property
    def names(self) -> list[str]:
        """The names of the devices, in order."""
        return [self._fleet.name(self._first + i) for i in range(self._count)]

    @property
    def required(self) -> Grid:
        """Which readings must be stored: device x message x metric."""
        return self._required

    @property
    def allowed(self) -> Grid:
        """Which may be."""
        return self._allowed

    def _read_ledger(self, ledger: Ledger) -> tuple[Grid, Grid]:
        device = np.arange(self._first, self._first + self._count, dtype=np.int64)[:, None]
        posts = self._lane.post_of(device, np.arange(self._lane.depth, dtype=np.int64)[None, :])
        inside = posts < self._lane.posts
        outcome = np.where(inside, ledger.outcomes[np.where(inside, posts, 0)], np.uint8(Outcome.UNSENT))
        shape = (*outcome.shape, self._lane.metrics)
        required = np.broadcast_to((outcome >= Outcome.PARTLY)[..., None], shape).copy()
        allowed = required | (outcome == Outcome.SENT)[..., None]
        refused = self._cells_of(ledger.refused_readings)
        required[refused] = allowed[refused] = False
        dropped = inside & np.isin(posts, np.fromiter(ledger.dropped, dtype=np.int64))
        required[dropped] = False
        self._dropped_posts = np.where(dropped, posts, -1)
        return required, allowed

    def _read_flips(self, draw: Draw | None) -> Grid | None:
        if draw is None or not draw.spoils or draw.assumed.kind_change == "refuse":
            return None
        posts = draw.having(Fault.TYPE_FLIP, np.arange(self._lane.posts, dtype=np.int64))
        flipped = np.zeros(self._required.shape, dtype=np.bool_)
        flipped[self._cells_of(posts * self._lane.readings + draw.readings(posts))] = True
        return flipped

    def _cells_of(self, readings: Ints) -> tuple[Ints, Ints, Ints]:
        device, n = self._lane.said_by(readings // self._lane.metrics)
        ours = (device >= self._first) & (device < self._first + self._count)
        return device[ours] - self._first, n[ours], (readings % self._lane.metrics)[ours]

    def take(self, column: Column) -> None:
        """Take in stored readings."""
        key = (column.metric, column.kind)
        metric = self._positions.get(key)
        if metric is None and self._flipped is not None:
            metric = self._flips.get(key)
        if metric is None:
            self._note_strays(column, np.ones(len(column.device), dtype=np.bool_), why="no such metric was sent")
            return
        row = column.device - self._first
        n, rest = np.divmod(column.time_us - self._lane.time_ms(0) * _US_IN_MS, self._lane.step_ms * _US_IN_MS)
        fits = (rest == 0) & (n >= 0) & (n < self._lane.depth)
        self._note_strays(column, ~fits, why="nothing was sent at this time")
        row, n, values = row[fits], n[fits], column.values[fits]
        said = self._said(metric, row, n, flipped=key not in self._positions)
        counts = self._seen[..., metric]
        np.add.at(counts, (row, n), 1)
        differs = values != said
        self._wrong[row[differs], n[differs], metric] = True

    def _said(self, metric: int, row: Ints, n: Ints, *, flipped: bool) -> npt.NDArray[Any]:
        """Return what was said at these cells in the kind of the column, which is the flipped one or the usual one."""
        what = self._fleet.metrics[metric]
        said = what.values(self._fleet.codes(metric, row + self._first, n))
        if self._flipped is None:
            return said
        here, told = self._flipped[row, n, metric], said.astype(object)
        told[here] = flip_of(what) if flipped else None
        told[~here] = None if flipped else told[~here]
        return told

    def _note_strays(self, column: Column, which: Grid, *, why: str) -> None:
        self._strays.unexpected += int(which.sum())
        for i in np.flatnonzero(which)[:MAX_PROBLEMS].tolist():
            name, time_us = self._fleet.name(int(column.device[i])), int(column.time_us[i])
            self._strays.note(Problem("unexpected", name, column.metric, time_us, why))

    def close(self, *, stored: bool) -> Findings:
        """Return what was found; with `stored` false nothing was read, and nothing is missed."""
        findings = Findings()
        if not stored:
            return findings
        there = self._seen > 0
        findings.add(self._strays)
        findings.stored = int((there & self._allowed).sum())
        findings.lost = self._report(findings, "lost", self._required & ~there)
        findings.duplicated = int(self._seen[self._seen > 1].astype(np.int64).sum() - (self._seen > 1).sum())
        self._report(findings, "duplicated", self._seen > 1)
        findings.wrong = self._report(findings, "wrong", self._wrong & self._allowed)
        findings.unexpected += self._report(findings, "unexpected", there & ~self._allowed)
        return findings

    def _report(self, findings: Findings, trouble: Trouble, cells: Grid) -> int:
        if not cells.any():
            return 0
        for row, n, metric in np.argwhere(cells)[:MAX_PROBLEMS].tolist():
            findings.note(self._problem(trouble, row, n=n, metric=metric))
        return int(cells.sum())

    def _problem(self, trouble: Trouble, row: int, *, n: int, metric: int) -> Problem:
        series = self._series(row, n=n, metric=metric)
        times = int(self._seen[row, n, metric])
        detail = {
            "lost": f"acknowledged {series.value!r}",
            "duplicated": f"stored {times} times",
            "wrong": f"sent {series.value!r}",
            "unexpected": "refused, or never sent",
        }[trouble]
        return Problem(trouble, series.device, series.metric, series.time_us, detail)

    def missing_of_dropped(self) -> Iterator[tuple[int, Problem]]:
        """Yield each reading that is not there of the posts of which some were dropped, with its post."""
        missing = (self._dropped_posts >= 0)[..., None] & (self._seen == 0)
        for row, n, metric in np.argwhere(missing).tolist():
            series = self._series(row, n=n, metric=metric)
            problem = Problem("lost", series.device, series.metric, series.time_us, "")
            yield int(self._dropped_posts[row, n]), problem

    def newest(self) -> list[Newest]:
        """Return what the state should show: of each series the newest reading acknowledged or found stored."""
        known = self._required | (self._seen > 0)
        last = known.shape[1] - 1 - known[:, ::-1, :].argmax(axis=1)
        return [
            series
            for metric in range(self._lane.metrics)
            for series in self._newest_of(metric, np.flatnonzero(known[..., metric].any(axis=1)), last)
        ]

    def _newest_of(self, metric: int, rows: Ints, last: Ints) -> Iterator[Newest]:
        what, n = self._fleet.metrics[metric], last[rows, metric]
        values: list[Value] = what.values(self._fleet.codes(metric, rows + self._first, n)).tolist()
        if self._flipped is not None:
            flips = self._flipped[rows, n, metric].tolist()
            values = [flip_of(what) if flip else value for value, flip in zip(values, flips, strict=True)]
        times = np.asarray(self._lane.time_ms(n)).tolist()
        for row, time_ms, value in zip(rows.tolist(), times, values, strict=True):
            yield Newest(self._fleet.name(self._first + row), what.name, time_ms * _US_IN_MS, value)

    def may_be_newer(self, series: Newest, *, time_us: int, value: object) -> bool:
        """Whether this is a reading we sent, newer than `series`, whose answer never came."""
        n, rest = divmod(time_us // _US_IN_MS - self._lane.time_ms(0), self._lane.step_ms)
        if time_us <= series.time_us or rest or n >= self._lane.depth:
            return False
        row = int(series.device.rpartition("-")[2]) - self._first
        metric = next(i for i, m in enumerate(self._fleet.metrics) if m.name == series.metric)
        said = self._series(row, n=n, metric=metric).value
        return bool(self._allowed[row, n, metric]) and is_same(value, said)

    def _series(self, row: int, *, n: int, metric: int) -> Newest:
        what = self._fleet.metrics[metric]
        device = np.array([self._first + row], dtype=np.int64)
        code = self._fleet.codes(metric, device, np.array([n], dtype=np.int64))
        (value,) = what.values(code).tolist()
        if self._flipped is not None and 0 <= n < self._lane.depth and self._flipped[row, n, metric]:
            value = flip_of(what)
        time_us = self._lane.time_ms(n) * _US_IN_MS
        return Newest(self._fleet.name(self._first + row), what.name, time_us, value)


def flip_of(metric: Metric) -> Value:
    """Return what a metric says that was flipped on purpose."""
    return FLIPPED_NUMBER if metric.kind == "text" else FLIPPED_TEXT


def is_same(value: object, said: Value) -> bool:
    """Whether JSON shows the value that was said: a bool is no number, a whole number may come without its fraction."""
    if isinstance(said, float | int) and not isinstance(said, bool):
        return isinstance(value, int | float) and not isinstance(value, bool) and value == said
    return type(value) is type(said) and value == said
