"""A worker process: one Sanic server with its own event loop and its own parts, on the socket that all workers share.

It leads its own process group, so that a Ctrl-C in a terminal reaches only the main process, which stops the workers in
order; and it stops in order by itself when the main process dies.
"""

import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Collection
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from gateway.app.processes import run_folder
from gateway.core.errors import GatewayError
from gateway.core.settings import HttpSettings, Settings
from gateway.telemetry import MULTIPROC_ENV

if TYPE_CHECKING:  # Sanic and the metrics are imported late: signals are obeyed before
    from gateway.web.lifetime import OpenRuntime
    from gateway.web.server.sanic import App

PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGTERM, signal.SIGINT)
READY = b"ready"
"""What a worker tells the main process once it serves."""
CANNOT_START = 1
"""Its exit code if it never did."""


def worker_index(worker: str) -> int:
    """Return the number of a worker from its name (`Sanic-Server-1-0` → 1); 0 for a process without siblings."""
    parts = worker.split("-")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0  # noqa: PLR2004


def run_worker(
    settings: Settings,
    open_runtime: "OpenRuntime",
    listening: socket.socket,
    main: "Pipe[bytes, bytes]",
    *,
    name: str,
    replaces: int | None,
) -> None:
    """Serve until SIGTERM, or until `main`, the pipe from the main process, ends; the target of the process.

    `replaces` is the process id of the worker that died before. Leaves with status CANNOT_START if the parts cannot be
    opened.
    """
    _die_with_main()
    os.setpgid(0, 0)
    for number in STOPS:  # until the parts are open
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    from gateway.telemetry import logs  # noqa: PLC0415
    from gateway.web.app import create_app  # noqa: PLC0415

    logs.configure(settings.log)
    metrics = Path(os.environ[MULTIPROC_ENV])
    joined = run_folder.join(metrics)
    if replaces is not None:
        _bury(name, replaces)
    app = create_app(settings, open_runtime, worker=name)
    app.ctx.listening = listening
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_serve(app, settings.http, listening, main))
    except GatewayError:  # its log has said why
        raise SystemExit(CANNOT_START) from None
    finally:
        if _is_orphan():
            run_folder.forget_if_last(metrics, joined)


async def _serve(app: "App", http: HttpSettings, listening: socket.socket, main: "Pipe[bytes, bytes]") -> None:
    from gateway.web.app import BACKLOG  # noqa: PLC0415
    from gateway.web.server.protocol import Connection  # noqa: PLC0415

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    made: Any = await app.create_server(
        sock=listening,
        protocol=Connection,
        backlog=BACKLOG,
        access_log=http.access_log,
        return_asyncio_server=True,
        asyncio_server_kwargs={"start_serving": False},
    )
    await made.startup()
    await made.before_start()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    await made.start_serving()
    await made.after_start()
    loop.add_reader(main.fileno(), stop.set)  # the main process says nothing: it is gone
    with contextlib.suppress(OSError):  # it may be gone just now, as the loop will hear
        main.send_bytes(READY)
    await stop.wait()
    loop.remove_reader(main.fileno())
    await made.before_stop()
    made.close()
    await _finish(made.connections, http.grace_secs)
    await made.after_stop()


async def _finish(connections: Collection[Any], grace_secs: float) -> None:
    """Return when every request is answered; hang up on those that take longer than the grace."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_secs
    for connection in list(connections):
        connection.close_if_idle()
    while connections and loop.time() < deadline:  # noqa: ASYNC110 - Sanic tells nobody
        await asyncio.sleep(0.1)
    for connection in list(connections):
        if connection.websocket:
            connection.websocket.fail_connection(code=1001)
        else:
            connection.abort()


def _bury(name: str, dead: int) -> None:
    """Count and say that this process replaces a dead one, and have the metrics forget the gauges of that."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    from gateway.telemetry import events  # noqa: PLC0415

    events.worker_restarted(name, dead)
    mark_process_dead(dead)  # type: ignore[no-untyped-call]


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _die_with_main() -> None:
    """Have the kernel send SIGTERM when the main process dies, however it dies (Linux; elsewhere the pipe tells)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if _is_orphan():
        raise SystemExit(CANNOT_START)


def _is_orphan() -> bool:
    main = multiprocessing.parent_process()
    return main is None or os.getppid() != main.pid
