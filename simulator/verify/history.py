"""Read what is stored through the gateway's public API: device names in, columns of readings out. Never writes.

GET /v1/devices/{device}/readings, page by page. A reading stored twice is shown once there, so this way finds no
duplicates; everything else it finds as the database does.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import orjson

from simulator.drivers.http import HttpClient, Request
from simulator.drivers.http_reader import Response
from simulator.errors import ConnectionLost, Unreachable
from simulator.verify.audit import Column
from simulator.verify.source import ReadingsRefused
from simulator.verify.states import to_us

_AT_ONCE = 8
"""Devices asked for at the same time."""
_LIMIT = 10_000
_OK, _NOT_FOUND, _LATER = 200, 404, frozenset({429, 503})
_TRIES, _PAUSE_S = 20, 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Rows = list[tuple[int, Any]]
Found = dict[tuple[str, str], _Rows]
"""(metric, kind) to rows of (time in µs, value)."""


class History:
    """The readings of devices, as the gateway shows them."""

    shows_twins = False

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def close(self) -> None:
        """Do nothing: the client is its opener's."""

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:  # noqa: ARG002 - the protocol's
        """Return None: to count is to read it all."""
        return None

    async def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        """Yield what is stored, as `Source` says."""
        for at in range(0, len(names), _AT_ONCE):
            some = names[at : at + _AT_ONCE]
            answers = await asyncio.gather(*(self._device(name, since_ms, until_ms) for name in some))
            for i, found in enumerate(answers):
                for (metric, kind), rows in found.items():
                    yield _to_column(metric, kind, rows, device=first + at + i)

    async def _device(self, name: str, since_ms: int, until_ms: int) -> Found:
        found: Found = defaultdict(list)
        cursor: str | None = None
        while True:
            query = {"from": to_rfc3339(since_ms), "to": to_rfc3339(until_ms), "limit": str(_LIMIT)}
            query |= {"cursor": cursor} if cursor else {}
            page = await self._page(f"/v1/devices/{quote(name)}/readings?{urlencode(query)}")
            _collect(found, page.get("readings", ()))
            cursor = page.get("next_cursor")
            if not cursor:
                return found

    async def _page(self, path: str) -> dict[str, Any]:
        """Return one page; an empty one of a device that is not known. Raises ReadingsRefused, Unreachable."""
        response = await self._ask(path)
        try:
            page = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            page = None
        if not isinstance(page, dict):
            raise ReadingsRefused(f"GET {path.partition('?')[0]} was answered with {response.status} and no JSON")
        if response.status == _NOT_FOUND and page.get("code") == "unknown_device":
            return {}
        if response.status != _OK:
            code = page.get("code", "")
            raise ReadingsRefused(f"GET {path.partition('?')[0]} was answered with {response.status} {code}".rstrip())
        return page

    async def _ask(self, path: str) -> Response:
        """Ask until there is an answer that does not say "later"; a gateway may just have been restarted."""
        problem = ""
        for _ in range(_TRIES):
            try:
                response = await self._client.request(Request("GET", path))
            except ConnectionLost as error:
                problem = str(error)
            else:
                if response.status not in _LATER:
                    return response
                problem = f"it answers with {response.status}"
            await asyncio.sleep(_PAUSE_S)
        raise Unreachable(f"The gateway at {self._client.url} does not show what is stored: {problem}.")


def _collect(found: Found, readings: Iterable[dict[str, Any]]) -> None:
    try:
        for row in readings:
            time_us = to_us(row["ts"])
            if time_us is None:
                raise ReadingsRefused(f"a reading has the time {row['ts']!r}, which is none")
            for metric, value in row["values"].items():
                found[metric, _kind(value)].append((time_us, value))
    except (KeyError, TypeError, AttributeError) as error:
        raise ReadingsRefused(f"the readings are not as documented: {error!r}") from error


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "double"


def _to_column(metric: str, kind: str, rows: _Rows, *, device: int) -> Column:
    times, values = zip(*rows, strict=True)
    return Column(
        metric,
        kind,
        np.full(len(rows), device, dtype=np.int64),
        np.array(times, dtype=np.int64),
        np.array(values, dtype=object if kind == "text" else np.float64),
    )


def to_rfc3339(ms: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
