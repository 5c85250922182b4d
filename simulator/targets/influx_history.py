"""Read back from InfluxDB what is stored of a device: its name in, its readings out, through /query. Never writes.

2.x answers /query too, if the bucket is mapped to a database of its name, which it does by itself.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import orjson

from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.patience import ask
from simulator.verify.by_device import ByDevice, Found, Rows, kind_of
from simulator.verify.source import ReadingsRefused

_OK = 200
_US_IN_MS = 1_000
_NO_FIELDS = ("time", "device")


class InfluxHistory(ByDevice):
    """The fields of a device. InfluxDB keeps one value of a field and a time, so nothing is stored twice."""

    def __init__(self, client: HttpClient, db: str) -> None:
        self._client = client
        self._db = db

    async def readings_of(self, device: str, since_ms: int, until_ms: int) -> Found:
        """Return what is stored of a device, as `ByDevice` says."""
        measurement = device.rpartition("-")[0]
        select = (
            f"SELECT * FROM \"{measurement}\" WHERE device = '{device}' "  # noqa: S608 - names of our own making
            f"AND time >= {since_ms}ms AND time < {until_ms}ms"
        )
        query = urlencode({"db": self._db, "epoch": "ms", "chunked": "true", "q": select})
        complaint = f"InfluxDB at {self._client.url} does not show what is stored"
        response = await ask(self._client, Request("GET", f"/query?{query}"), complaint=complaint)
        if response.status != _OK:
            raise ReadingsRefused(f"GET /query was answered with {response.status}")
        found: dict[tuple[str, str], Rows] = defaultdict(list)
        for columns, row in _rows(response.body):
            _collect(found, dict(zip(columns, row, strict=True)))
        return found


def _rows(body: bytes) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield (columns, row): an answer in chunks is a JSON document a line. Raises ReadingsRefused."""
    try:
        for line in body.splitlines():
            for result in orjson.loads(line)["results"]:
                if "error" in result:
                    raise ReadingsRefused(f"GET /query was answered: {result['error']}")
                for series in result.get("series", ()):
                    yield from ((series["columns"], row) for row in series["values"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ReadingsRefused(f"GET /query was not answered as documented: {error!r}") from error


def _collect(found: dict[tuple[str, str], Rows], row: dict[str, Any]) -> None:
    """Take in a row; a field that was not written at its time is null."""
    for metric, value in row.items():
        if metric not in _NO_FIELDS and value is not None:
            found[metric, kind_of(value)].append((row["time"] * _US_IN_MS, value))
