"""One of several processes that send one run: a book and a number in, progress on stdout, a result in the book out.

Started by `workers`, not by people: `python -m simulator.measure.worker FOLDER NUMBER`. Stops sending when a line comes
over its stdin, or SIGTERM, and leaves SIGINT to the process that started it. Its stdin ends when that process does,
killed or not: then it ends at once, so that nothing is sent of which nobody knows.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import uvloop

from simulator.core.errors import SimulatorError
from simulator.send.drivers.mqtt import Broker
from simulator.send.ledger_folder import Book
from simulator.send.progress import Look
from simulator.send.sender import Sender
from simulator.targets.choose import target_of

URL, MQTT, KEY = "SIMULATOR_URL", "SIMULATOR_MQTT", "SIMULATOR_KEY"
"""The environment it is started with."""
_TELL_S = 0.5
_LINE = 64
_ORPHANED = 3
"""The exit code of a worker whose run was killed; nobody is there to read it."""


async def _work(folder: Path, number: int) -> None:
    book = Book.open(folder)
    target = target_of(book.plan.target)
    sender = Sender(book.plan, number, target=target, broker=Broker.parse(os.environ[MQTT]))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, sender.stop)
    loop.add_reader(sys.stdin.fileno(), _listen, sender)
    async with sender.open_client(os.environ[URL], os.environ[KEY]) as client:
        with book.writing() as open_ledger:
            result = await sender.send(client, open_ledger, _tell, begun=book.keep_began)
    book.keep_result(number, result)


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


if __name__ == "__main__":
    main()
