"""Logs: one JSON line for each event, on stderr, as the settings say. Never folds or counts: that is `events`.

Lines of libraries (the stdlib's logging) take the same way, so that stderr is JSON throughout.
"""

import contextlib
import json
import logging
import sys
import time
from typing import Any, BinaryIO

import orjson
import structlog

from gateway.core.settings import LogSettings
from gateway.telemetry.dedupe import Fold

LIBRARY_FOLD_SECS = 1.0
"""asyncpg logs a traceback for each connection it cannot make: one line of a place per second is enough, and
ever fewer while it goes on."""

_ACCESS_KEYS = ("host", "request", "status", "byte", "duration")


def configure(settings: LogSettings, *, out: BinaryIO | None = None) -> None:
    """Set up structlog and the stdlib's logging for this process; call it once, before the first line.

    `out` is where lines go: stderr unless told otherwise.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.ExceptionRenderer(),
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=out or sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Bridge(Fold(LIBRARY_FOLD_SECS, clock=time.monotonic))]
    root.setLevel(max(level, logging.INFO))
    for name in ("sanic", "sanic.root", "sanic.error", "sanic.server", "sanic.access", "sanic.websockets"):
        quieted = logging.getLogger(name)
        quieted.handlers.clear()
        quieted.propagate = True
    # Sanic narrates every start and stop at INFO; our own lines say the same once.
    for name in ("sanic.root", "sanic.server"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.getLogger("sanic.access").setLevel(logging.INFO)


class _Bridge(logging.Handler):
    """Passes a library's line on to structlog; a line from the same place within a second is folded."""

    def __init__(self, fold: Fold) -> None:
        super().__init__()
        self._fold = fold
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        keys: dict[str, Any] = {"logger": record.name}
        if record.name == "sanic.access":
            keys |= {key: getattr(record, key, None) for key in _ACCESS_KEYS}
        else:
            suppressed = self._fold.admit(f"{record.pathname}:{record.lineno}", goes_on=True)
            if suppressed is None:
                return
            keys |= {"suppressed": suppressed} if suppressed else {}
        with contextlib.suppress(OSError, ValueError):  # nobody listens on stderr any more
            self._log.log(record.levelno, record.getMessage() or "Request.", exc_info=record.exc_info, **keys)


def _dumps(line: Any, **_: Any) -> bytes:
    try:
        return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate: bytes of a client that are no UTF-8 are no reason to say or answer nothing
        return json.dumps(line, default=repr, ensure_ascii=False).encode(errors="replace")
