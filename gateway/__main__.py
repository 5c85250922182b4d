"""`gateway` and `python -m gateway`. Imports next to nothing: the processes that `serve` starts begin with it, too."""

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""Exit code of what Ctrl-C ended: 128 and the signal's number, as shells say it."""


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback, also while it is still being imported."""
    signal.signal(signal.SIGINT, _end)  # an exception out of a half-done import can turn into any other
    from gateway.app.cli.main import main as run  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)  # nothing has been begun


if __name__ == "__main__":
    main()
