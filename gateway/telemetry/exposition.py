"""Exposition of the numbers of all workers, as Prometheus reads them, from their files (milliseconds). Counts none."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from prometheus_client import REGISTRY, Metric, ProcessCollector, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gateway.telemetry import MULTIPROC_ENV, gauges

PARTS_OF_HISTOGRAM = ("bucket", "count", "sum")
"""How the names of metrics end that are one histogram together."""
RENAMED = {
    "gateway_readings_from_spool": "gateway_readings_drained",
    "gateway_mqtt_unacknowledged_messages": "gateway_mqtt_in_hand_messages",
    "gateway_mqtt_unacknowledged_messages_limit": "gateway_mqtt_in_hand_messages_limit",
}
"""What a metric was called before 0.2: it is shown under both names for one release, so that a dashboard lives on."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Rendered(NamedTuple):
    """A metric as text."""

    names: frozenset[str]
    """Of its samples."""
    text: bytes


def exposition(names: Collection[str] = ()) -> bytes:
    """Return all metrics in the Prometheus text format, of every worker when there are several.

    With `names` only these, as far as there are any.
    """
    return choose(render(counters=only_counters(names)), names)


def only_counters(names: Collection[str]) -> bool:
    """Whether these are names of counters, of which less has to be read."""
    return bool(names) and all(name.endswith("_total") for name in names)


def render(*, counters: bool = False) -> list[Rendered]:
    """Return the text of every metric, of every worker; or of the counters alone. Milliseconds; for any thread."""
    families_shown = _read("counter_*.db") if counters else _Shown().collect()
    return [
        Rendered(frozenset({sample.name for sample in family.samples}), generate_latest(_One(family)))
        for family in families_shown
    ]


def choose(rendered: Iterable[Rendered], names: Collection[str]) -> bytes:
    """Return the text of those that have a sample of one of these names; of all, if there are no names."""
    return b"".join([one.text for one in rendered if not names or not one.names.isdisjoint(names)])


def samples() -> dict[tuple[str, str], int]:
    """Return the values of counters, and gauges that are sums, that have one label: by name and label value."""
    return {
        (sample.name, label): int(sample.value)
        for family in _read("counter_*.db", "gauge_livesum_*.db")
        for sample in family.samples
        if len(sample.labels) == 1
        for label in sample.labels.values()
    }


def families() -> Iterable[Metric]:
    """Return every metric with its values, those of every worker together."""
    return _read("*.db")


def processes(workers: Iterable[tuple[str, str]]) -> Iterator[Metric]:
    """Return what the system says of these workers (name, process id), under the names that Prometheus has for it.

    The library says it only of a process alone. One that is gone says nothing.
    """
    found: dict[str, Metric] = {}
    for worker, pid in workers:
        for family in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
            merged = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                merged.add_sample(sample.name, {"worker": worker}, sample.value)
    yield from found.values()


class _Shown(Collector):
    """All workers' metrics, and how their processes are."""

    def collect(self) -> Iterator[Metric]:
        for family in self._families():
            yield family
            if family.name in RENAMED:
                yield _renamed(family, RENAMED[family.name])

    def _families(self) -> Iterator[Metric]:
        running: dict[str, str] = {}
        parted: dict[str, Metric] = {}
        for family in families():
            name, _, part = family.name.rpartition("_")
            if part in PARTS_OF_HISTOGRAM:
                whole = parted.setdefault(name, Metric(name, family.documentation, "histogram"))
                whole.samples += sorted(family.samples, key=_place)
                continue
            if family.name == gauges.worker_up.sample and _merges():
                running = {sample.labels["worker"]: sample.labels["pid"] for sample in family.samples}
            yield family
        yield from (*parted.values(), *processes(running.items()))


class _One(Collector):
    """One metric that was collected already."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _read(*patterns: str) -> Iterable[Metric]:
    """Return the metrics in these files of all workers; a process alone has none, and tells all."""
    if not _merges():
        return REGISTRY.collect()
    folder = Path(os.environ[MULTIPROC_ENV])
    files = [str(file) for pattern in patterns for file in folder.glob(pattern)]
    merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return merged


def _renamed(family: Metric, name: str) -> Metric:
    """Return a metric once more, under another name."""
    other = Metric(name, f"The old name of {family.name}.", family.type)
    other.samples = [sample._replace(name=name + sample.name.removeprefix(family.name)) for sample in family.samples]
    return other


def _place(sample: Sample) -> tuple[str, float]:
    """Return what brings the buckets of a group into their order."""
    return sample.labels.get("group", ""), float(sample.labels.get("le", 0))


def _merges() -> bool:
    """Whether there is a folder of files to merge; gone with a killed main process, what is left are our own values."""
    folder = os.environ.get(MULTIPROC_ENV)
    return folder is not None and Path(folder).is_dir()
