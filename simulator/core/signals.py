"""Ctrl-C and SIGTERM: the first one ends in order, the next one at once."""

import asyncio
import signal
from collections.abc import Callable

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` for the first signal, in the loop that runs; the next one ends the process without a word."""
    loop = asyncio.get_running_loop()

    def stop_once() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)  # Python's own handler would print where it was
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop_once)
