"""One run from start to verdict: options and a plan in, a report out. Registers, sends, verifies, removes, closes.

The composition root of `simulator run`; prints nothing, and tells `watch` how it stands while the load is on.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from simulator import worker
from simulator.books import Book, in_memory
from simulator.drivers.http import HttpClient
from simulator.drivers.mqtt import Broker
from simulator.enrolment import Enrolment
from simulator.errors import ConnectionLost, Unreachable
from simulator.faults.kinds import Fault
from simulator.ledger import Ledger
from simulator.options import RunOptions
from simulator.plan import Part, Plan
from simulator.report import MISSED, Report
from simulator.results import WorkerResult
from simulator.sender import Sender, Watch
from simulator.verdict import look_for_database, reach_verdict
from simulator.verify.referee import Verdict
from simulator.workers import Workers

_UNAUTHORIZED = 401
_ASKING = 8
"""Connections to ask, not to send, with."""
_ASK_S = 30.0


class Run:
    """One run. `execute` does all of it, once."""

    def __init__(self, options: RunOptions, plan: Plan) -> None:
        """Raise UsageError for options that contradict each other."""
        self._options = options
        self._plan = plan
        self._requirements = options.verdict.requirements()
        self._broker = Broker.parse(options.target.mqtt)
        self._sending: Sender | Workers | None = None
        self._ledgers: list[Ledger] = []
        self._needs_http = any(part.lane.transport == "http" for part in plan.parts())

    def stop(self) -> None:
        """Send nothing new; what is on the way is waited for, and the run is judged as far as it came."""
        if self._sending is not None:
            self._sending.stop()

    async def execute(self, watch: Watch, *, on_sent: Callable[[], None]) -> Report:
        """Run, verify, report; `watch` is cancelled when all is sent. Raises UsageError and Unreachable."""
        options, target = self._options, self._options.target
        async with HttpClient(target.url, key=target.key(), connections=_ASKING, timeout=_ASK_S) as client:
            await look_for_database(options.verdict)
            await self._knock(client)
            enrolment = Enrolment(client, self._plan)
            report = None
            try:
                await self._prepare(enrolment)
                results = await self._send(enrolment.key, watch)
                on_sent()
                verdict = await self._verify(client)
                report = Report(
                    self._plan, results, verdict=verdict, notes=enrolment.notes, requirements=self._requirements
                )
            finally:
                await self._leave(enrolment, is_good=report is not None and report.exit_code in {0, MISSED})
            return report

    async def _knock(self, client: HttpClient) -> None:
        """Ask the gateway for something harmless. Raises Unreachable if it is not there or does not know our key."""
        try:
            response = await client.post(b'{"devices":["simulator"]}', path="/v1/states:query")
        except ConnectionLost as error:
            if self._needs_http:
                raise Unreachable(f"The gateway at {client.url} does not answer: {error}.") from error
            return
        if response.status == _UNAUTHORIZED and self._needs_http:
            raise Unreachable(f"The gateway at {client.url} does not take our key: give one with --key-file.")

    async def _prepare(self, enrolment: Enrolment) -> None:
        """Register what is to be registered, and find out which faults are none for this gateway."""
        scenario = self._plan.scenario
        await enrolment.check_zstd()
        if scenario.enrol:
            await enrolment.enrol()
        asks = scenario.faults.unknown_device and scenario.gateway.unknown == "ask"
        if asks and await enrolment.lets_strangers_in():
            enrolment.notes.append("unknown_device is no fault here: this gateway lets unknown devices in")
            self._plan = replace(self._plan, left_out=(Fault.UNKNOWN_DEVICE,))

    async def _send(self, key: str, watch: Watch) -> list[WorkerResult]:
        folder = self._options.verdict.ledger
        if self._plan.workers == 1:
            return [await self._send_here(key, watch, folder)]
        with nullcontext(folder) if folder else TemporaryDirectory(prefix="simulator-") as place:
            book = Book.create(Path(place), self._plan)
            target = self._options.target
            workers = Workers(book, {worker.URL: target.url, worker.MQTT: target.mqtt, worker.KEY: key})
            self._sending = workers
            results = await workers.send(watch)
            self._ledgers = [book.read(part) for part in self._plan.parts()]
        return results

    async def _send_here(self, key: str, watch: Watch, folder: Path | None) -> WorkerResult:
        sender = self._sending = Sender(self._plan, 0, broker=self._broker)
        book = Book.create(folder, self._plan) if folder else None
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(sender.open_client(self._options.target.url, key))
            open_ledger = stack.enter_context(book.writing()) if book else in_memory

            def remember(part: Part) -> Ledger:
                self._ledgers.append(open_ledger(part))
                return self._ledgers[-1]

            return await sender.send(client, remember, watch)

    async def _verify(self, client: HttpClient) -> Verdict | None:
        if self._options.verdict.source == "none":
            return None
        return await reach_verdict(self._plan, self._ledgers, client, self._options.verdict)

    async def _leave(self, enrolment: Enrolment, *, is_good: bool) -> None:
        """Remove what was registered, but not what somebody will want to look at."""
        verdict, is_sent = self._options.verdict, any(ledger.sent for ledger in self._ledgers)
        stays = is_sent and (verdict.keep or verdict.ledger is not None or not is_good)
        await enrolment.withdraw(keep_devices=stays)
        if enrolment.is_enrolled and is_sent and not is_good:
            enrolment.notes.append("the devices stay registered, to look at: all was not well")
