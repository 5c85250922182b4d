"""A sink of JSON rows, as the adapter of docs/simulator.md knows it; it may lose, alter and refuse."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.listening import listening

Row = dict[str, Any]


class FakeSink(FakeGateway):
    """Rows by device and time. `lie` makes of them what a GET shows; `tricks` answer POSTs instead, once each."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[tuple[str, int], Row] = {}
        self.asked: list[tuple[str, str]] = []
        self.lie: Callable[[list[Row]], list[Row]] = list

    def _dispatch(self, method: str, target: str, body: bytes) -> tuple[int, Any] | None:
        self.asked.append((method, target))
        if method == "POST":
            return self._take(body)
        (device,) = parse_qs(urlsplit(target).query)["id"]
        keys = [key for key in self.rows if key[0] == device]
        if method == "DELETE":
            for key in keys:
                del self.rows[key]
            return 204, {}
        return 200, self.lie([self.rows[key] for key in sorted(keys)])

    def _take(self, body: bytes) -> tuple[int, dict[str, Any]] | None:
        self.bodies.append(body)
        if self.tricks:
            return self.tricks.popleft()(self, [])
        try:
            rows = json.loads(body)
        except json.JSONDecodeError:
            return 400, {}
        bad = _numbers_of_nan(rows)
        self.rows |= {(row["id"], row["ms"]): row for row in rows}
        return (207, {"bad": bad}) if bad else (202, {})


def _numbers_of_nan(rows: list[Row]) -> list[int]:
    """Take what is not finite out of the rows; return which of all readings it was."""
    readings = [(row, metric) for row in rows for metric in row if metric not in {"id", "ms"}]
    bad = [number for number, (row, metric) in enumerate(readings) if row[metric] != row[metric]]
    for number in bad:
        row, metric = readings[number]
        del row[metric]
    return bad


@asynccontextmanager
async def running() -> AsyncIterator[FakeSink]:
    sink = FakeSink()
    async with listening(sink.serve) as port:
        sink.url = f"http://127.0.0.1:{port}"
        yield sink
