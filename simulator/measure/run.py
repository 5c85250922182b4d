"""One run from start to verdict: options and a plan in, a report out. Registers, sends, verifies, removes, closes.

The composition root of `simulator run`; prints nothing, and tells `watch` how it stands while the load is on.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from simulator.core.addresses import Broker
from simulator.core.errors import Unreachable
from simulator.measure.workers import KEY, MQTT, URL, Workers
from simulator.plan.options import RunOptions
from simulator.plan.plan import Part, Plan
from simulator.report.report import MISSED, Report
from simulator.send.drivers.http import HttpClient
from simulator.send.ledger import Ledger
from simulator.send.ledger_folder import LedgerFolder, in_memory
from simulator.send.results import WorkerResult
from simulator.send.sender import Sender, ShowProgress, check_files, nobody_asks
from simulator.send.target import Registry
from simulator.targets.choose import fitted, target_of
from simulator.verify.referee import Verdict
from simulator.verify.verdict import look_for_database, reach_verdict
from simulator.watch.stream import AT_ONCE
from simulator.watch.watching import Watching

_POLL_S = 10.0
_SEE_S, _QUIET_S, _UNVERIFIED_QUIET_S = 10.0, 5.0, 1.0
"""Seconds that what is stored may take to be seen; that nothing new may come; the same if nobody waits for storage."""


class ScenarioRun:
    """One run. `execute` does all of it, once."""

    def __init__(self, options: RunOptions, plan: Plan) -> None:
        """Raise UsageError for options that contradict each other, or that this machine does not allow."""
        check_files(plan)
        self._options = options
        self._requirements = options.verdict.requirements()
        self._target = target_of(plan.target)
        self._plan = fitted(self._target, plan)
        self._key = options.target.key(kind=plan.target.kind)
        self._broker = Broker.parse(options.target.mqtt)
        self._sending: Sender | Workers | None = None
        self._is_sent = False
        self._is_interrupted = False
        self._ledgers: list[Ledger] = []
        self._needs_http = any(part.lane.transport == "http" for part in plan.parts())

    def stop(self) -> None:
        """Send nothing new; what is on the way is waited for shortly, and the run is judged as far as it came."""
        self._is_interrupted = not self._is_sent
        if self._sending is not None:
            self._sending.stop()

    async def execute(self, watch: ShowProgress, *, on_sent: Callable[[], None]) -> Report:
        """Run, verify, report; `watch` is cancelled when all is sent. Raises UsageError and Unreachable."""
        options = self._options
        async with self._target.client(options.target.url, self._key) as client:
            await look_for_database(options.verdict, self._target)
            await self._check_access(client)
            registry = self._target.registry(client, self._plan)
            report = None
            try:
                await self._prepare(registry)
                folder = options.verdict.ledger
                files = LedgerFolder.create(folder, self._plan) if folder else None
                async with self._watching(files) as watching:
                    results = await self._send(registry.key, watch, files)
                    self._is_sent = True
                    on_sent()
                    verdict = await self._verify(client)
                    await self._see(watching, results, verdict)
                report = Report(
                    self._plan, results, verdict=verdict, notes=registry.notes, requirements=self._requirements,
                    watch=watching.told, is_interrupted=self._is_interrupted,
                )  # fmt: skip
            finally:
                await self._leave(registry, is_good=report is not None and report.exit_code in {0, MISSED})
            return report

    async def _check_access(self, client: HttpClient) -> None:
        """See that the target is there and knows our key, if anything is posted to it. Raises Unreachable."""
        try:
            await self._target.check_access(client)
        except Unreachable:
            if self._needs_http:
                raise

    async def _prepare(self, registry: Registry) -> None:
        """Introduce what is to be introduced, and find out which faults are none for this target."""
        left_out = await registry.prepare()
        if left_out:
            self._plan = replace(self._plan, left_out=left_out)

    @asynccontextmanager
    async def _watching(self, files: LedgerFolder | None) -> AsyncIterator[Watching]:
        """Hold open what watches some devices, on connections of its own and with the key that we were given."""
        url = self._options.target.url
        with files.watching() if files else nullcontext() as keep:
            async with (
                self._target.client(url, self._key, connections=AT_ONCE, timeout=_POLL_S) as client,
                Watching(client, self._plan, clock=time.monotonic, keep=keep) as watching,
            ):
                await watching.begun()
                yield watching

    async def _see(self, watching: Watching, results: Sequence[WorkerResult], verdict: Verdict | None) -> None:
        """Wait until what is stored by now was seen, and add to the verdict what the stream left out."""
        patience = min(self._options.verdict.settle, _SEE_S)
        quiet = _QUIET_S if verdict is not None else _UNVERIFIED_QUIET_S
        await watching.settle(self._ledgers, results, patience=patience, quiet=quiet)
        if verdict is not None:
            watching.add_to(verdict)

    async def _send(self, key: str, watch: ShowProgress, files: LedgerFolder | None) -> list[WorkerResult]:
        if self._plan.workers == 1:
            return [await self._send_here(key, watch, files)]
        with nullcontext(files) if files else _temporary(self._plan) as shared:
            target = self._options.target
            workers = Workers(shared, {URL: target.url, MQTT: target.mqtt, KEY: key})
            self._sending = workers
            if self._is_interrupted:
                workers.stop()
            results = await workers.send(watch)
            self._ledgers = [shared.read(part) for part in self._plan.parts()]
        return results

    async def _send_here(self, key: str, watch: ShowProgress, files: LedgerFolder | None) -> WorkerResult:
        sender = self._sending = Sender(self._plan, 0, target=self._target, broker=self._broker)
        if self._is_interrupted:
            sender.stop()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(sender.open_client(self._options.target.url, key))
            open_ledger = stack.enter_context(files.writing()) if files else in_memory

            def remember(part: Part) -> Ledger:
                self._ledgers.append(open_ledger(part))
                return self._ledgers[-1]

            return await sender.send(client, remember, watch, begun=files.keep_began if files else nobody_asks)

    async def _verify(self, client: HttpClient) -> Verdict | None:
        if self._options.verdict.source == "none":
            return None
        return await reach_verdict(
            self._plan, self._ledgers, client, target=self._target, judging=self._options.verdict
        )

    async def _leave(self, registry: Registry, *, is_good: bool) -> None:
        """Remove what was registered, but not what somebody will want to look at."""
        verdict, is_sent = self._options.verdict, any(ledger.sent for ledger in self._ledgers)
        stays = is_sent and (verdict.keep or verdict.ledger is not None or not is_good)
        await registry.withdraw(keep_devices=stays)
        if registry.is_registered and is_sent and not is_good:
            registry.notes.append("the devices stay registered, to look at: all was not well")


@contextmanager
def _temporary(plan: Plan) -> Iterator[LedgerFolder]:
    """Yield a folder that ends with the run: several processes hand each other their ledgers in it."""
    with TemporaryDirectory(prefix="simulator-") as place:
        yield LedgerFolder.create(Path(place), plan)
