"""Stored readings through public APIs, device by device: names in, columns of readings out. Never writes.

The gateway's are pages of GET /v1/devices/{device}/readings. A reading stored twice is shown once there, so this way
finds no duplicates; everything else it finds as the database does.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from simulator.core.errors import Refused
from simulator.core.times import time_of, to_us
from simulator.send.drivers.http import HttpClient, Request, ask
from simulator.send.target import Column

_AT_ONCE = 8
"""Devices asked for at the same time."""

Rows = list[tuple[int, Any]]
"""(time in µs, value)."""
Found = Mapping[tuple[str, str], Rows]
"""(metric, kind) to rows that are not empty; see `kind_of`."""


class ByDevice(ABC):
    """A source, but for what one device has; it cannot count, and is not told what is stored twice."""

    shows_twins = False

    @abstractmethod
    async def readings_of(self, device: str, since_ms: int, until_ms: int) -> Found:
        """Return what is stored of a device in [since, until), of one it does not know nothing.

        Raises Refused, and Unreachable.
        """

    async def close(self) -> None:  # noqa: B027 - may be overridden
        """Do nothing: the client is its opener's."""

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: to count is to read it all."""
        return None

    async def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield what is stored, as `Source` says."""
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            answers = await asyncio.gather(*(self.readings_of(name, since_ms, until_ms) for name in some))
            for i, found in enumerate(answers):
                for (metric, kind), rows in found.items():
                    yield _to_column(metric, kind, rows, device=first + at + i)


def kind_of(value: object) -> str:
    """Return the kind of a value that came as JSON, where a whole number may have lost its fraction."""
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "double"


def _to_column(metric: str, kind: str, rows: Rows, *, device: int) -> Column:
    times, values = zip(*rows, strict=True)
    return Column(
        metric,
        kind,
        np.full(len(rows), device, dtype=np.int64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=object if kind == "text" else np.float64),
    )


_LIMIT = 10_000
_OK, _NOT_FOUND = 200, 404

_Readings = dict[tuple[str, str], Rows]


class History(ByDevice):
    """The readings of devices, as the gateway shows them."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def readings_of(self, device: str, since_ms: int, until_ms: int) -> Found:
        """Return what is stored of a device, as `ByDevice` says."""
        found: _Readings = defaultdict(list)
        cursor: str | None = None
        while True:
            query = {"from": time_of(since_ms * 1_000), "to": time_of(until_ms * 1_000), "limit": str(_LIMIT)}
            query |= {"cursor": cursor} if cursor else {}
            page = await self._page(f"/v1/devices/{quote(device)}/readings?{urlencode(query)}")
            _collect(found, page.get("readings", ()))
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    async def _page(self, path: str) -> dict[str, Any]:
        """Return one page; an empty one of a device that is not known. Raises Refused, Unreachable."""
        complaint = f"The gateway at {self._client.url} does not show what is stored"
        response = await ask(self._client, Request("GET", path), complaint=complaint)
        try:
            page = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            page = None
        if not isinstance(page, dict):
            raise Refused(f"GET {path.partition('?')[0]} was answered with {response.status} and no JSON")
        if response.status == _NOT_FOUND and page.get("code") == "unknown_device":
            return {}
        if response.status != _OK:
            code = page.get("code", "")
            raise Refused(f"GET {path.partition('?')[0]} was answered with {response.status} {code}".rstrip())
        return page


def _collect(found: _Readings, readings: Iterable[dict[str, Any]]) -> None:
    try:
        for row in readings:
            time_us = to_us(row["ts"])
            if time_us is None:
                raise Refused(f"a reading has the time {row['ts']!r}, which is none")
            for metric, value in row["values"].items():
                found[metric, kind_of(value)].append((time_us, value))
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"the readings are not as documented: {error!r}") from error
