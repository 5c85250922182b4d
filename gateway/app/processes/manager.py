"""Manager of processes: main process, N workers, a watchdog. Never handles a request itself.

    main       binds the port, starts workers, passes SIGTERM and SIGINT on, waits for all
    worker     one Sanic server with its own event loop and its own parts; stops in order when the main process dies
    watchdog   has a dead worker started again (Sanic does not, its issue 3062); see `watchdog`

Each worker leads its own process group: a Ctrl-C in a terminal reaches only the main process, which stops the workers
in order.
"""

import contextlib
import ctypes
import errno
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.util import get_temp_dir
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gateway.app.processes import run_folder
from gateway.app.processes.watchdog import hear_interrupts, watch
from gateway.core.errors import StartError
from gateway.core.settings import HttpSettings, Settings

if TYPE_CHECKING:  # Sanic and the metrics are imported late: the folder of the metrics must be known before
    from sanic.worker.manager import WorkerManager

    from gateway.web.lifetime import OpenRuntime
    from gateway.web.server.sanic import App

BIND_SECS = 5.0
"""How long a taken port is tried: the workers of a killed predecessor may still be finishing."""
START_SECS = 120.0
"""How long workers may take to open their parts."""
PR_SET_PDEATHSIG = 1
STOPS = (signal.SIGTERM, signal.SIGINT)
STOP, CANNOT_START = "__TERMINATE__", "__TERMINATE_EARLY__"
"""Sanic's messages to the main process."""


def serve(settings: Settings, open_runtime: "OpenRuntime") -> None:
    """Serve until SIGTERM or SIGINT, then return; to be called in the main thread of the main process.

    `open_runtime` is a function of a module (it is called in the workers): (settings, the worker's name) → the parts.
    Raises StartError if the port is taken; leaves the process with status 1 if the workers cannot start.
    """
    listening = bind(settings.http)
    raise_file_limit()
    _run(settings, open_runtime, listening, run_folder.prepare(os.environ))


def worker_index(worker: str) -> int:
    """Return the number of a worker from its name (`Sanic-Server-1-0` → 1); 0 for a process without siblings."""
    parts = worker.split("-")
    return int(parts[2]) if len(parts) > 2 and parts[2].isdigit() else 0  # noqa: PLR2004


def bind(
    http: HttpSettings,
    *,
    wait_secs: float = BIND_SECS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> socket.socket:
    """Return a bound socket. Raises StartError when the address is taken for longer than `wait_secs`, or not ours."""
    deadline = clock() + wait_secs
    while True:
        try:
            return _bound(http)
        except OSError as exc:
            taken = exc.errno == errno.EADDRINUSE
            if not taken or clock() >= deadline:
                cause = "it is taken" if taken else exc.strerror or str(exc)
                raise StartError(
                    f"cannot listen on {http.host} port {http.port}: {cause}; "
                    "set GATEWAY_HTTP__HOST and GATEWAY_HTTP__PORT"
                ) from exc
        sleep(0.1)


def raise_file_limit() -> None:
    """Take as many open files, and so connections, as the system lets us have: a service often begins with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # it stays as it is
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def make_worker_app(settings: Settings, open_runtime: "OpenRuntime") -> "App":
    """Return the app of a worker; called by Sanic in each worker process."""
    from gateway.web.app import create_app  # noqa: PLC0415

    _die_with_main()
    os.setpgid(0, 0)
    for number in STOPS:  # until Sanic takes them over, when the parts are open
        signal.signal(number, _leave)
    hear_interrupts()
    _configure_logs(settings)
    app = create_app(settings, open_runtime)
    app.register_listener(_ignore_signals, "before_server_stop")
    return app


def _run(settings: Settings, open_runtime: "OpenRuntime", listening: socket.socket, metrics: Path) -> None:
    from sanic import Sanic  # noqa: PLC0415
    from sanic.worker.loader import AppLoader  # noqa: PLC0415

    from gateway.web.app import BACKLOG, create_app  # noqa: PLC0415
    from gateway.web.server.protocol import Connection  # noqa: PLC0415

    _configure_logs(settings)
    app = create_app(settings, open_runtime)
    told: list[int] = []
    app.register_listener(partial(_take_over, settings, metrics, told), "main_process_ready")
    app.register_listener(partial(_remove, metrics), "main_process_stop")
    app.prepare(
        sock=listening,
        protocol=Connection,
        workers=settings.http.workers,
        backlog=BACKLOG,
        access_log=settings.http.access_log,
    )
    # Until `_take_over` signals are noted: an exception amid Sanic's start can make it hang. They are blocked, too, so
    # that Sanic's helper process is deaf to them for good: `systemctl stop` and Ctrl-C signal every process at once,
    # and a helper that leaves first breaks the orderly stop of the others.
    for number in STOPS:
        signal.signal(number, lambda number, _frame: told.append(number))
    resource_tracker.ensure_running()  # or starting it, as the helper needs it, would end the wait (Python 3.11)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    Sanic.serve(primary=app, app_loader=AppLoader(factory=partial(make_worker_app, settings, open_runtime)))


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _take_over(settings: Settings, metrics: Path, told: Sequence[int], app: "App") -> None:
    """Start the watchdog, obey the signals that came before, and mend four ways of Sanic's.

    Its last resort kills process groups, that of our caller among them; while workers start it is deaf to signals;
    its signal handler talks to the helper process, perhaps amid a talk with it that the signal has interrupted; and a
    Ctrl-C makes a process that is still importing print a traceback.
    """
    for number in STOPS:
        signal.signal(number, partial(_on_signal, app.manager, []))
    if told or app.manager._shutting_down:  # noqa: SLF001 - Sanic's own handlers were in force for a moment
        app.manager._shutting_down = False  # noqa: SLF001
        app.manager.monitor_publisher.send(STOP)
    app.manager.kill = partial(_kill, app.manager)  # type: ignore[method-assign]
    app.manager.wait_for_ack = partial(_await_workers, app.manager)  # type: ignore[method-assign]
    run_folder.note_helper(metrics, get_temp_dir())
    helpers = [child.pid for child in multiprocessing.active_children()]
    kwargs = {
        "state": app.manager.worker_state,
        "publisher": app.manager.monitor_publisher,
        "main": os.getpid(),
        "helpers": helpers,
        "log": settings.log,
    }
    app.manager.manage("Watchdog", watch, kwargs)
    for process in [process for worker in app.manager.workers for process in worker.processes]:
        process.start = partial(_start_deaf, process.start)  # type: ignore[method-assign]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def _start_deaf(start: Callable[[], None]) -> None:
    """Start a process that hears of interrupts only when it says so: see `hear_interrupts`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        start()
    finally:
        hear_interrupts()


def _on_signal(manager: "WorkerManager", before: list[int], number: int, _frame: object) -> None:
    """Have the main loop stop all in order; the second time, kill them where they stand."""
    if not before:
        manager.monitor_publisher.send(STOP)
    else:
        _kill_processes(manager)
    before.append(number)


def _await_workers(manager: "WorkerManager") -> None:
    """Return when all workers have opened their parts, or were told to stop; kill all if one cannot and none serves."""
    deadline = time.monotonic() + START_SECS
    while not manager._all_workers_ack():  # type: ignore[no-untyped-call]  # noqa: SLF001
        message = manager.monitor_subscriber.recv() if manager.monitor_subscriber.poll(0.1) else ""
        if message == STOP:  # the loop after this one sees to it
            manager.monitor_publisher.send(STOP)
            return
        if (message == CANNOT_START and not _serves(manager)) or time.monotonic() > deadline:
            _kill(manager)
        if message and message != CANNOT_START:  # the watchdog's word that a worker died before it served
            manager._handle_message(message)  # noqa: SLF001
        manager._sync_states()  # type: ignore[no-untyped-call]  # noqa: SLF001 - the watchdog sees the dead by it


def _serves(manager: "WorkerManager") -> bool:
    """Whether any worker has opened its parts: then another one that cannot is tried again, as it is later on."""
    from sanic.worker.constants import ProcessState  # noqa: PLC0415

    return any(state.get("state") == ProcessState.ACKED.name for state in manager.worker_state.values())


def _kill(manager: "WorkerManager") -> NoReturn:
    from sanic.exceptions import ServerKilled  # noqa: PLC0415
    from sanic.worker.constants import ProcessState  # noqa: PLC0415

    for process in manager.processes:
        process.set_state(ProcessState.TERMINATED, force=True)  # or Sanic waits ten seconds for it
    _kill_processes(manager)
    raise ServerKilled


def _kill_processes(manager: "WorkerManager") -> None:
    for process in manager.processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _remove(metrics: Path, _app: "App") -> None:
    run_folder.forget(metrics)


def _die_with_main() -> None:
    """Have the kernel send SIGTERM when the main process dies, however it dies (Linux; elsewhere see `watchdog`)."""
    main = multiprocessing.parent_process()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if main is None or os.getppid() != main.pid:
        raise SystemExit(1)


def _ignore_signals(_app: "App") -> None:
    """Once stopping, a second signal must not cut the stop short; the main process kills if it is asked twice."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def _configure_logs(settings: Settings) -> None:
    from gateway.telemetry import logs  # noqa: PLC0415

    logs.configure(settings.log)


def _bound(http: HttpSettings) -> socket.socket:
    family, *_ = socket.getaddrinfo(http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server((http.host, http.port), family=family)
