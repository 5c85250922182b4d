"""What commands share: reports written to files, and Ctrl-C, which ends in order first, then at once."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from simulator.core.errors import UsageError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals(stop: Callable[[], None], console: Console) -> None:
    """Say so and call `stop` for the first signal, in the loop that runs; the next one ends the process."""
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # Python's own handler would print where it was
        console.print("stopping; once more to end at once", style="yellow")
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop_once)


def write(path: Path, content: bytes) -> None:
    """Write one file. Raises UsageError."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"The report cannot be written to {path}: {error}.") from error
