"""Events, one function each: it counts, and if a person should know it says so in one line. Never raises, never waits.

Call sites hold no logger and no counter. Lines are constant sentences with keys, free of secrets; a happening that
repeats is said once a second, and ever less often while it goes on, with `suppressed` counting the rest. Counting is
per batch or request, never per reading.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable

import structlog

from gateway.core.errors import GatewayError
from gateway.domain.model import Refusal
from gateway.telemetry import gauges, prometheus
from gateway.telemetry.declared import begin_at_zero
from gateway.telemetry.dedupe import Fold
from gateway.telemetry.sanitize import shown

_log = structlog.get_logger()
_fold = Fold(1.0, clock=time.monotonic)


def say(level: str, event: str, sentence: str, *, apart: str = "", goes_on: bool = False, **keys: object) -> None:
    """Write one line: `level` is debug, info, warning or error; `event` is its stable name.

    Lines of one name are folded; `apart` keeps kinds of it from hiding each other, and what `goes_on` is said ever less
    often. `exc_info=exc` adds the traceback.
    """
    suppressed = _fold.admit(event + apart, goes_on=goes_on)
    if suppressed is None:
        return
    if suppressed:
        keys["suppressed"] = suppressed
    with contextlib.suppress(OSError, ValueError):  # nobody listens on stderr any more: no reason to stop working
        getattr(_log, level)(sentence, name=event, **keys)


# -- the process -------------------------------------------------------------------------------------------------------


def worker_ready(worker: str) -> None:
    """Say that a worker has opened its parts and is about to serve."""
    begin_at_zero()
    say("info", "worker_ready", "Worker ready.", worker=worker)


def worker_draining(worker: str, secs: float) -> None:
    """Say that a worker was told to stop and answers 503 on /readyz for `secs` before it closes."""
    say("info", "worker_draining", "Stopping: not ready any more, serving what is in hand.", worker=worker, secs=secs)


def worker_stopped(worker: str) -> None:
    """Say that a worker has closed its parts."""
    say("info", "worker_stopped", "Worker stopped.", worker=worker)


def worker_failed(worker: str, error: str) -> None:
    """Say why a worker could not start."""
    say("error", "worker_failed", "Worker cannot start.", worker=worker, error=error, apart=worker)


def worker_stuck(worker: str, secs: float) -> None:
    """Say that a worker gave up closing its parts after `secs`; nothing acknowledged depends on it."""
    say("error", "worker_stuck", "Worker could not close its parts in time; leaving.", worker=worker, secs=secs)


def worker_restarted(worker: str, pid: int) -> None:
    """Count and say that a worker died (its old process id is given) and is being replaced."""
    gauges.worker_restarts.inc()
    say("error", "worker_restarted", "Worker died; starting it again.", worker=worker, dead_pid=pid, apart=worker)


def sample_failed(exc: BaseException) -> None:
    """Say that a sample for the fleet page could not be taken; the next one is taken."""
    say("warning", "sample_failed", "Cannot sample the metrics; trying again.", exc_info=exc, goes_on=True)


# -- taking in ---------------------------------------------------------------------------------------------------------


def refused(refusals: Iterable[Refusal]) -> None:
    """Count readings that were not taken, conflicts among them, by reason."""
    by_code: Counter[str] = Counter()
    for refusal in refusals:
        by_code[refusal.code] += refusal.readings
    for code, readings in by_code.items():
        prometheus.refusals[(code,)].inc(readings)


def overloaded(limit: str) -> None:
    """Count and say that a bounded queue is full; `limit` is the setting that was hit."""
    prometheus.overloads[(limit,)].inc()
    say("warning", "overloaded", "Turning requests away: a limit is reached.", limit=limit, apart=limit, goes_on=True)


def dead_lettered(
    source: str, code: str, *, count: int = 1, device: str | None = None, topic: str | None = None
) -> None:
    """Count and say that items were kept as dead letters, with device and topic of the first of them.

    `source` is where it was noticed: mqtt, spool or database.
    """
    prometheus.dead_letters[(source, code)].inc(count)
    whose = {name: shown(text) for name, text in (("device", device), ("topic", topic)) if text}
    keys = {"source": source, "code": code, "count": count, **whose}
    say("warning", "dead_lettered", "Kept as a dead letter.", apart=code, goes_on=True, **keys)


def dead_letters_folded(source: str, code: str, *, count: int, device: str | None) -> None:
    """Count and say that items are counted as dead letters without their bytes; `device` if it is a registered one."""
    prometheus.dead_letters_folded[(source, code)].inc(count)
    keys = {"source": source, "code": code, "count": count, **({"device": shown(device)} if device else {})}
    sentence = "More is refused than may be kept: only counted, by device and code."
    say("warning", "dead_letters_folded", sentence, apart=code, goes_on=True, **keys)


def dead_letter_replayed() -> None:
    """Count a dead letter whose replay was accepted whole."""
    prometheus.dead_letters_replayed.inc()


def dead_letter_replay_failed(letter_id: int, exc: BaseException) -> None:
    """Say that the replay of a dead letter met a mistake of ours."""
    say("error", "letter_failed", "Replaying a dead letter failed.", letter=letter_id, exc_info=exc)


def dead_letters_purged(limit: str, count: int) -> None:
    """Count and say that dead letters were removed; `limit` is the setting that they were beyond."""
    prometheus.dead_letters_purged[(limit,)].inc(count)
    say("info", "letters_purged", "Removed dead letters.", limit=limit, count=count, apart=limit)


def dead_letter_purge_failed(exc: Exception) -> None:
    """Say that dead letters could not be purged; what cannot be explained comes with its traceback."""
    if isinstance(exc, GatewayError):
        say("warning", "letter_purge_failed", "Cannot purge dead letters; trying again.", error=exc.message)
    else:
        say("error", "letter_purge_failed", "Purging dead letters failed; trying again.", exc_info=exc)


# -- making durable ----------------------------------------------------------------------------------------------------


def acknowledged(secs: float) -> None:
    """Note the time one body took from being taken in to its COMMIT."""
    prometheus.ingest_commit.observe(secs)


def committed(messages: int, *, secs: float) -> None:
    """Count one COMMIT and the messages in it, those that were there already too."""
    prometheus.commits.inc()
    prometheus.commit_rows.observe(messages)
    prometheus.commit_duration.observe(secs)
    prometheus.messages_committed.inc(messages)


def write_failed(kind: str) -> None:
    """Count a write that failed; `kind` is transient (later) or fault (an operator must act). The breaker says why."""
    prometheus.commit_failures[(kind,)].inc()


def commit_failed(error: str) -> None:
    """Count and say that a write met a mistake of ours."""
    write_failed("fault")
    say("error", "commit_failed", "A write to the database failed.", kind="fault", error=error)


def database_lost(error: str, *, kind: str) -> None:
    """Say that nothing can be written to the database; `kind` as in `write_failed`."""
    sentence = "Database unavailable." if kind == "transient" else "Database refuses to store anything."
    say("error", "database_lost", sentence, error=error, kind=kind, apart=kind)


def database_back(away_secs: float) -> None:
    """Say that the database can be written to again."""
    say("info", "database_back", "Database available again.", away_secs=round(away_secs, 3))


def queue_changed(rows: int, size: int) -> None:
    """Set what waits for a COMMIT: messages, and bytes."""
    prometheus.queue_rows.set(rows)
    prometheus.queue_bytes.set(size)


# -- HTTP ------------------------------------------------------------------------------------------------------------


def http_answered(route: str, status: int) -> None:
    """Count a reply by route and status class."""
    prometheus.http_requests[(route, _CLASSES[status // 100])].inc()


def http_connected(count: int) -> None:
    """Tell how many connections are open."""
    prometheus.http_connections.set(count)


def http_problem(code: str) -> None:
    """Count a problem by its code."""
    prometheus.http_problems[(code,)].inc()


def idempotency(outcome: str) -> None:
    """Count a request with an Idempotency-Key; see `prometheus.idempotency` for the outcomes."""
    prometheus.idempotency[(outcome,)].inc()


def http_failed(route: str, request_id: str, exc: BaseException) -> None:
    """Say that a request met a mistake of ours; the caller got the request id and nothing else."""
    say("error", "http_failed", "A request failed.", route=route, request_id=request_id, exc_info=exc)


_CLASSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")
