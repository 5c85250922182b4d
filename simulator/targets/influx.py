"""InfluxDB as a target: one measurement for each fleet, the device as its tag, a metric as a field.

Written from its documented HTTP API: /write of 1.x, and with an organisation /api/v2/write. A write that is answered
with 204 is in its log on disk. Field types are InfluxDB's own, so that an int stays one.
"""

from base64 import b64encode
from urllib.parse import urlencode

from simulator.core.errors import ConnectionLost, Unreachable
from simulator.plan.faults import Fault
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient, Request
from simulator.send.drivers.patience import ask
from simulator.send.encode import Head
from simulator.send.target import Codec, Target
from simulator.targets.influx_history import InfluxHistory
from simulator.targets.influx_lines import Lines
from simulator.verify.source import Source

_OK, _NO_CONTENT, _UNAUTHORIZED, _FORBIDDEN = 200, 204, 401, 403


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

    async def knock(self, client: HttpClient) -> None:
        """Ping, as `Target.knock` says."""
        try:
            response = await client.request(Request("GET", "/ping"))
        except ConnectionLost as error:
            raise Unreachable(f"InfluxDB at {client.url} does not answer: {error}.") from error
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
