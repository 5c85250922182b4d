"""Events of the spool, one function each, as in `events`: it counts, and says what a person should know."""

from collections.abc import Sequence

from gateway.core.errors import GatewayError
from gateway.telemetry import prometheus
from gateway.telemetry.events import say

FEW = 5
"""Devices that a line names."""


def opened(file: str, *, messages: int, damaged: int, adopted: bool) -> None:
    """Say what is in a file of the spool, if there is anything; adopted is one whose own worker is gone."""
    if messages or damaged:
        sentence = "Spool holds readings of an earlier run; they go to the database."
        say(
            "warning",
            "spool_opened",
            sentence,
            file=file,
            messages=messages,
            damaged=damaged,
            adopted=adopted,
            apart=file,
        )


def appended(messages: int, readings: int) -> None:
    """Say that the database is away, and what is on disk instead; the books count it from the receipts."""
    say("warning", "spooled", "Readings go to the spool.", messages=messages, readings=readings, goes_on=True)


def full(limit: int) -> None:
    """Count and say that the spool takes no more: readings are refused, none is dropped."""
    prometheus.spool_refusals[("full",)].inc()
    say(
        "error", "spool_full", "Spool is full; refusing readings.", setting="spool.max_bytes", limit=limit, goes_on=True
    )


def fault(file: str, error: str) -> None:
    """Count and say that the disk of the spool fails."""
    prometheus.spool_refusals[("fault",)].inc()
    say("error", "spool_fault", "Spool cannot be used.", file=file, error=error, apart=file, goes_on=True)


def failed(file: str, exc: BaseException) -> None:
    """Say that the spool or what empties it met a mistake of ours."""
    say("error", "spool_failed", "Spool failed.", file=file, exc_info=exc, apart=file, goes_on=True)


def record_damaged(file: str, record: int, why: str) -> None:
    """Count and say that a record cannot be read; it lies in the table `damaged` of the file."""
    prometheus.spool_damaged_records.inc()
    sentence = "Record of the spool is damaged; set aside."
    say("error", "spool_damaged", sentence, file=file, record=record, why=why)


def file_damaged(file: str, *, kept: str, saved: int) -> None:
    """Say that a file was damaged: what could be read of it is in a new one, the old one is kept under another name."""
    sentence = "Spool file is damaged; saved what can be read."
    say("error", "spool_file_damaged", sentence, file=file, kept=kept, saved_records=saved, apart=file)


def backlog(rows: int, size: int) -> None:
    """Set what waits on disk: messages, and bytes."""
    prometheus.spool_rows.set(rows)
    prometheus.spool_bytes.set(size)


def record_failed(record: int, devices: Sequence[str], exc: Exception, error: str) -> None:
    """Say that a record cannot be stored while the database answers; it is tried again, and others go on."""
    sentence = "Record of the spool cannot be stored; trying it again, others go on."
    known = None if isinstance(exc, GatewayError) else exc
    say("warning", "record_failed", sentence, record=record, devices=_few(devices), error=error, exc_info=known)


def record_parked(devices: Sequence[str], messages: int, error: str) -> None:
    """Say that messages could not be stored though the database answers: they lie in the dead letters."""
    sentence = "Readings from the spool cannot be stored; kept as dead letters."
    say("error", "record_parked", sentence, devices=_few(devices), messages=messages, error=error)


def record_set_aside(record: int, devices: Sequence[str], error: str) -> None:
    """Count and say that a record can neither be stored nor buried; it lies in the table `damaged` of the file."""
    prometheus.spool_damaged_records.inc()
    sentence = "Record of the spool can neither be stored nor become dead letters; set aside in its file."
    say("error", "record_set_aside", sentence, record=record, devices=_few(devices), error=error)


def _few(devices: Sequence[str]) -> list[str]:
    """Return the first few names, each once."""
    return list(dict.fromkeys(devices))[:FEW]


def emptied(secs: float) -> None:
    """Say that nothing waits any more, and how long emptying took."""
    say("info", "spool_empty", "Spool is empty.", secs=round(secs, 3))


def drain_failed(kind: str, error: str) -> None:
    """Say that the spool cannot be emptied now; `kind` is database, disk or mistake. All stays where it is."""
    say(
        "warning",
        "drain_failed",
        "Spool cannot be emptied; trying again.",
        kind=kind,
        error=error,
        apart=kind,
        goes_on=True,
    )
