"""Several processes that send one run: a ledger folder in, their results out. Started, and ended, with this process.

Each is `python -m simulator.measure.workers FOLDER NUMBER`: progress on its stdout, its result in the folder. It stops
sending when a line comes over its stdin, or SIGTERM, and leaves SIGINT to the process that started it. Its stdin ends
when that process does, killed or not: then it ends at once, so that nothing is sent of which nobody knows.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import uvloop

from simulator.core.addresses import Broker
from simulator.core.errors import SimulatorError, Unreachable, first_of
from simulator.send.ledger_folder import LedgerFolder
from simulator.send.progress import Look, Progress, together
from simulator.send.results import WorkerResult
from simulator.send.sender import Sender, ShowProgress
from simulator.targets.choose import target_of

URL, MQTT, KEY = "SIMULATOR_URL", "SIMULATOR_MQTT", "SIMULATOR_KEY"
"""The environment it is started with."""
_TELL_S = 0.5
_LINE = 64
_ORPHANED = 3
"""The exit code of a worker whose run was killed; nobody is there to read it."""


async def _work(folder: Path, number: int) -> None:
    files = LedgerFolder.open(folder)
    target = target_of(files.plan.target)
    sender = Sender(files.plan, number, target=target, broker=Broker.parse(os.environ[MQTT]))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, sender.stop)
    loop.add_reader(sys.stdin.fileno(), _listen, sender)
    async with sender.open_client(os.environ[URL], os.environ[KEY]) as client:
        with files.writing() as open_ledger:
            result = await sender.send(client, open_ledger, _tell, begun=files.keep_began)
    files.keep_result(number, result)


def _listen(sender: Sender) -> None:
    """Take in what the process that started this one has to say, or that it is gone."""
    if not os.read(sys.stdin.fileno(), _LINE):
        os._exit(_ORPHANED)
    sender.stop()


async def _tell(look: Look) -> None:
    """Print how it stands, until cancelled."""
    while True:
        await asyncio.sleep(_TELL_S)
        print(msgspec.json.encode(look()).decode(), flush=True)


def main() -> None:
    """Run it, and exit: 0 when all was sent, 2 with a sentence when it could not be."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        uvloop.run(_work(Path(sys.argv[1]), int(sys.argv[2])))
    except SimulatorError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


STOP = b"stop\n"
"""What a worker is told over its stdin."""
_KILL_S = 10.0


class Workers:
    """The processes of one run."""

    def __init__(self, files: LedgerFolder, environ: Mapping[str, str]) -> None:
        """`environ` tells them where to send, on top of ours."""
        self._files = files
        self._environ = os.environ | environ
        self._processes: list[asyncio.subprocess.Process] = []
        self._progress = [Progress() for _ in range(files.plan.workers)]
        self._is_stopped = False

    def stop(self) -> None:
        """Have them send nothing new, those that are still starting too."""
        self._is_stopped = True
        for process in self._processes:
            _stop(process)

    async def send(self, watch: ShowProgress) -> list[WorkerResult]:
        """Return their results once all have sent everything. Raises Unreachable if one of them cannot."""
        watcher = asyncio.create_task(watch(lambda: together(self._progress)), name="workers.watch")
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._files.plan.workers):
                    group.create_task(self._run(number), name=f"workers.process[{number}]")
        except* SimulatorError as errors:
            raise first_of(errors) from None
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        return [self._files.result(number) for number in range(self._files.plan.workers)]

    async def _run(self, number: int) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulator.measure.workers", str(self._files.folder), str(number),
            env=self._environ, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self._processes.append(process)
        if self._is_stopped:
            _stop(process)
        if process.stdout is None or process.stderr is None:
            raise AssertionError("pipes were asked for")
        try:
            said, _ = await asyncio.gather(process.stderr.read(), self._follow(number, process.stdout))
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            raise
        if code:
            raise Unreachable(said.decode(errors="replace").strip() or f"Worker {number} ended with code {code}.")

    async def _follow(self, number: int, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self._progress[number] = msgspec.json.decode(line, type=Progress)


def _stop(process: asyncio.subprocess.Process) -> None:
    """Say so over the pipe, where it waits for a process that is not listening yet; a signal would kill that."""
    if process.returncode is None and process.stdin is not None:
        process.stdin.write(STOP)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process of ours: it may stop in order for ten seconds, then it must."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_KILL_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    main()
