"""InfluxDB as a target: one measurement for each fleet, the device as its tag, a metric as a field.

Written from its documented HTTP API: /write of 1.x, and with an organisation /api/v2/write. A write that is answered
with 204 is in its log on disk. Field types are InfluxDB's own, so that an int stays one. A post is line protocol, one
line a message: `measurement,device=name field=value,… ms`; the names that the simulator gives hold nothing that would
have to be escaped, and what is written again with the same time and device is absorbed. Readings come back through
/query, which 2.x answers too if the bucket is mapped to a database of its name, as it is by itself.
"""

import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from simulator.core.errors import Refused, Unreachable
from simulator.plan.faults import Fault
from simulator.plan.fleet import Fleet
from simulator.plan.metrics import ValueKind
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient, Request, ask, ask_once
from simulator.send.encode import Head, Post, Run
from simulator.send.receipts import Answer
from simulator.send.target import Codec, Source, Target
from simulator.verify.history import ByDevice, Found, Rows, kind_of

_DROPPED = re.compile(rb"partial write: .* dropped=(\d{1,9})\b")
_OK, _NO_CONTENT, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _SERVER_ERROR = 200, 204, 400, 401, 403, 429, 500


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_WRITTEN: dict[ValueKind, Callable[[Any], str]] = {
    "double": repr,
    "int": "{}i".format,
    "bool": lambda value: "true" if value else "false",
    "text": _text,
}


class Lines:
    """The codec of one part."""

    def __init__(self, fleet: Fleet, head: Head, *, readings: int) -> None:
        """Write posts to this head, of so many readings each."""
        self._head = head
        self._readings = readings
        self._measurement = fleet.prefix
        self._fields = [(f"{metric.name}=", _WRITTEN[metric.kind]) for metric in fleet.metrics]

    def write(self, number: int, runs: Sequence[Run]) -> Post:
        """Return one post, as `Codec.write` says."""
        lines = [
            f"{self._measurement},device={run.device} {self._values(row)} {ts}"
            for run in runs
            for ts, row in zip(run.times, run.rows, strict=True)
        ]
        return Post(number, b"", "\n".join(lines).encode(), "", self._head)

    def _values(self, row: tuple[Any, ...]) -> str:
        return ",".join([name + written(value) for (name, written), value in zip(self._fields, row, strict=True)])

    def read(self, number: int, status: int, body: bytes) -> Answer:
        """Return what an answer means."""
        del number
        if status == _NO_CONTENT:
            return Answer.stored(status)
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            return Answer.again(status)
        if status == _BAD_REQUEST and b"partial write" in body:
            return self._read_partial(status, body)
        return Answer.refusal(status, f"http_{status}", readings=self._readings)

    def _read_partial(self, status: int, body: bytes) -> Answer:
        """Return how many readings it did not write; it does not say which, nor how many lines it could not read."""
        found = _DROPPED.search(body)
        readings = int(found[1]) * len(self._fields) if found else 0
        if not 0 < readings <= self._readings:
            return Answer.unclear(status, "partial_write")
        return Answer.dropped(status, "partial_write", readings=readings)


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
            raise Refused(f"GET /query was answered with {response.status}")
        found: dict[tuple[str, str], Rows] = defaultdict(list)
        for columns, row in _rows_of(response.body):
            _collect(found, dict(zip(columns, row, strict=True)))
        return found


def _rows_of(body: bytes) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield (columns, row): an answer in chunks is a JSON document a line. Raises Refused."""
    try:
        for line in body.splitlines():
            for result in orjson.loads(line)["results"]:
                if "error" in result:
                    raise Refused(f"GET /query was answered: {result['error']}")
                for series in result.get("series", ()):
                    yield from ((series["columns"], row) for row in series["values"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Refused(f"GET /query was not answered as documented: {error!r}") from error


def _collect(found: dict[tuple[str, str], Rows], row: dict[str, Any]) -> None:
    """Take in a row; a field that was not written at its time is null."""
    for metric, value in row.items():
        if metric not in _NO_FIELDS and value is not None:
            found[metric, kind_of(value)].append((row["time"] * _US_IN_MS, value))


class InfluxTarget(Target):
    """InfluxDB 1.x; 2.x if an organisation is given, where `db` is the bucket and has to be there.

    The key is `user:password` for 1.x, a token for 2.x.
    """

    name = "influx"

    def __init__(self, *, db: str, org: str = "") -> None:
        self.refusals = {Fault.TRUNCATED_GZIP: (400, "http_400")}
        self._db = db
        self._org = org
        query = {"org": org, "bucket": db} if org else {"db": db}
        path = "/api/v2/write" if org else "/write"
        self._head = Head(f"{path}?{urlencode(query)}&precision=ms", media="text/plain; charset=utf-8")

    def codec(self, part: Part) -> Codec:
        """Return the codec of line protocol."""
        return Lines(part.fleet, self._head, readings=part.lane.readings)

    def authorization(self, key: str) -> str:
        """Return Basic credentials, or with an organisation a token."""
        if not key:
            return ""
        return f"Token {key}" if self._org else f"Basic {b64encode(key.encode()).decode()}"

    async def check_access(self, client: HttpClient) -> None:
        """Ping, as `Target.check_access` says."""
        complaint = f"InfluxDB at {client.url} does not answer"
        response = await ask_once(client, Request("GET", "/ping"), complaint=complaint)
        if response.status != _NO_CONTENT:
            raise Unreachable(f"{client.url} answers /ping with {response.status}, as no InfluxDB does: see --url.")

    async def prepare(self, client: HttpClient, plan: Plan) -> None:
        """Create the database; the bucket of 2.x has to be there."""
        del plan
        if not self._org:
            await self._command(client, f'CREATE DATABASE "{self._db}"')

    async def clean(self, client: HttpClient, plan: Plan) -> None:
        """Drop the run's measurements. 2.x has another API for that: there they stay, and the notes say so."""
        if self._org:
            raise Unreachable("InfluxDB 2 keeps what was written: remove it with `influx delete`")
        for fleet in plan.fleets:
            await self._command(client, f'DROP MEASUREMENT "{fleet.prefix}"')

    async def _command(self, client: HttpClient, command: str) -> None:
        request = Request("POST", f"/query?{urlencode({'db': self._db, 'q': command})}")
        response = await ask(client, request, complaint=f"InfluxDB at {client.url} does not {command}")
        if response.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise Unreachable(f"InfluxDB at {client.url} does not take our key: give user:password with --key-file.")
        if response.status != _OK or b'"error"' in response.body:
            said = response.body.decode(errors="replace")[:200]
            raise Unreachable(f"InfluxDB at {client.url} answers {command} with {response.status} {said}.")

    def source(self, client: HttpClient) -> Source:
        """Return what reads fields back through /query."""
        return InfluxHistory(client, self._db)
