"""Time-series stores with HTTP of their own, from Debian's packages: InfluxDB 1.6.7 and VictoriaMetrics 1.79.

Settings are the packages' own but for logging, reporting and where data lies. Each answers in its own way: InfluxDB
after its write-ahead log is fsynced, VictoriaMetrics from memory.
"""

import json
import shutil
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.app.dev_servers.child_process import Child
from gateway.app.dev_servers.ports import free_port
from tests.peers.target import HOST, PROGRAM, Target, answer, answer_json, answers
from tests.peers.works import Door
from tests.servers.debian_package import program
from tests.servers.influx import config

READY_SECS = 60.0


class Store(Target):
    """One program, one folder of data, one port."""

    package: str
    executable: str
    probe: str
    query: str
    """What makes /write go where it should."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / self.name
        self._port = free_port()
        self._url = f"http://{HOST}:{self._port}"
        argv = [program(self.package, self.executable), *self.options()]
        self._child = Child(self.name, argv, log=folder / f"{self.name}.log")

    @abstractmethod
    def options(self) -> Sequence[str | Path]:
        """Return the program's options."""

    def door(self, work: str) -> Door | None:
        return None if work == "W4" else Door(self._port, "influx", path=f"/write?{self.query}")

    def start(self) -> None:
        self._data.mkdir(parents=True, exist_ok=True)
        self._child.start(lambda: answers(f"{self._url}{self.probe}"), timeout=READY_SECS)

    def stop(self) -> None:
        self._child.stop()

    def kill(self) -> None:
        self._child.kill()

    def clear(self) -> None:
        self.stop()
        shutil.rmtree(self._data)
        self.start()

    def parts(self, work: str) -> dict[str, int]:  # noqa: ARG002 -- the same for all
        return {PROGRAM: self._port}


class Influx(Store):
    """InfluxDB 1.x."""

    name = "influxdb"
    title = "InfluxDB 1.6.7"
    promise = "in its write-ahead log, fsynced"
    package, executable, probe, query = "influxdb", "influxd", "/ping", "db=bench&precision=ms"

    def options(self) -> Sequence[str | Path]:
        self._data.mkdir(parents=True, exist_ok=True)
        place = self._data.with_suffix(".conf")
        place.write_text(config(self._data, self._port))
        return ["-config", place]

    def start(self) -> None:
        super().start()
        answer(f"{self._url}/query?q={quote('CREATE DATABASE bench')}", body=b"")

    def readings(self) -> int:
        found = self._ask("SELECT count(*) FROM weather")
        return sum(found[0]["values"][0][1:]) if found else 0

    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:  # noqa: ARG002 -- counts every field
        found = dict.fromkeys(ends, 0)
        together: defaultdict[int, set[str]] = defaultdict(set)
        for device, end in ends.items():
            together[end].add(device)
        for end, devices in together.items():
            for series in self._ask(f"SELECT count(*) FROM weather WHERE time < {end}ms GROUP BY device"):
                if series["tags"]["device"] in devices:
                    found[series["tags"]["device"]] = sum(series["values"][0][1:])
        return found

    def _ask(self, query: str) -> list[Any]:
        (result,) = answer_json(f"{self._url}/query?db=bench&epoch=ms&q={quote(query)}")["results"]
        found: list[Any] = result.get("series", [])
        return found


class Victoria(Store):
    """VictoriaMetrics, one node."""

    name = "victoriametrics"
    title = "VictoriaMetrics 1.79"
    promise = "in memory; on disk some seconds later"
    is_late = True
    package, executable, probe, query = "victoria-metrics", "victoria-metrics", "/health", "precision=ms"
    _asked = 0

    def options(self) -> Sequence[str | Path]:
        listening = [f"-storageDataPath={self._data}", f"-httpListenAddr={HOST}:{self._port}", "-loggerLevel=ERROR"]
        return [*listening, "-search.latencyOffset=0s", "-search.disableCache", "-search.maxUniqueTimeseries=1000000"]

    def readings(self) -> int:
        answer(f"{self._url}/internal/force_flush")
        question = quote(f"sum(count_over_time({self._selector()}[3d]))")
        found = answer_json(f"{self._url}/api/v1/query?time={int(time.time())}&nocache=1&query={question}")
        result = found["data"]["result"]
        return int(result[0]["value"][1]) if result else 0

    def stored(self, ends: Mapping[str, int], metrics: int) -> dict[str, int]:  # noqa: ARG002 -- a series each
        found = dict.fromkeys(ends, 0)
        for line in answer(f"{self._url}/api/v1/export?match[]={quote(self._selector())}").splitlines():
            series = json.loads(line)
            device = series["metric"]["device"]
            if device in found:
                found[device] += sum(stamp < ends[device] for stamp in series["timestamps"])
        return found

    def _selector(self) -> str:
        """Return what matches everything; which series match a filter is remembered for a while, so never the same."""
        self._asked += 1
        return f'{{__name__=~"weather_m.*",device!="none-{self._asked}"}}'
