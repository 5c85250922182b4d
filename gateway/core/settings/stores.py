"""Settings of the stores: database, Redis, queue, spool, and how long each thing is kept."""

from typing import Annotated

from msgspec import Meta

from gateway.core.settings.section import Count, Seconds, Section


class DatabaseSettings(Section, frozen=True):
    """The database."""

    url: Annotated[str, Meta(description="PostgreSQL or TimescaleDB, as a libpq URL, also of several hosts.")] = (
        "postgresql://postgres@127.0.0.1:5432/postgres"
    )
    writer_slots: Annotated[Count, Meta(description="Connections a worker commits on at once.")] = 2
    read_pool: Annotated[Count, Meta(description="Connections a worker reads on at most.")] = 4
    connect_timeout_secs: Annotated[Seconds, Meta(description="Longest wait for a connection.")] = 5.0
    write_timeout_secs: Annotated[
        Seconds, Meta(description="Longest wait for one COMMIT; then the spool takes over.")
    ] = 10.0
    read_timeout_secs: Annotated[Seconds, Meta(description="Longest wait for one read.")] = 10.0
    chunk_hours: Annotated[
        Count, Meta(description="Hours a hypertable chunk spans (TimescaleDB; set when the table is made).")
    ] = 24


class RedisSettings(Section, frozen=True):
    """The newest state."""

    url: Annotated[str, Meta(description="Redis or Valkey: redis://, rediss:// or unix://.")] = (
        "redis://127.0.0.1:6379/0"
    )
    ack_wait_ms: Annotated[Count, Meta(description="How long an acknowledgement waits for the state at most.")] = 100
    timeout_secs: Annotated[Seconds, Meta(description="Longest wait for one command.")] = 1.0
    device_bytes: Annotated[
        int,
        Meta(
            ge=2**14,
            description="Bytes of newest values of one device that Redis keeps; of one that has more the database tells"
            " them.",
        ),
    ] = 2**20
    max_pending_rows: Annotated[
        Count, Meta(description="Newest messages kept for Redis while it is away; beyond it the oldest go.")
    ] = 200_000


class QueueSettings(Section, frozen=True):
    """The queue in front of the database, per worker."""

    max_rows: Annotated[Count, Meta(description="Messages that may wait.")] = 200_000
    max_bytes: Annotated[Count, Meta(description="Bytes that may wait.")] = 256 * 2**20
    commit_rows: Annotated[Count, Meta(description="Messages one COMMIT takes at most.")] = 20_000


class SpoolSettings(Section, frozen=True):
    """The disk that readings wait on while the database is away."""

    dir: Annotated[str, Meta(description="Folder, one file for each worker; must survive a restart.")] = "spool"
    max_bytes: Annotated[
        Count, Meta(description="Bytes a worker may spool; beyond it readings are answered 503, never dropped.")
    ] = 2**30


class RetentionSettings(Section, frozen=True):
    """How long readings are kept."""

    days: Annotated[Count, Meta(description="Readings older than this are refused, and stored ones removed.")] = 3650


class HistorySettings(Section, frozen=True):
    """Reading what was stored."""

    pool: Annotated[Count, Meta(description="Connections a worker reads history on at most.")] = 3
    wait_secs: Annotated[Seconds, Meta(description="Longest wait for one of them; then 503 overloaded.")] = 2.0
    timeout_secs: Annotated[Seconds, Meta(description="Longest statement; then 503 query_timeout.")] = 10.0
    max_exports: Annotated[Count, Meta(description="NDJSON and CSV streams a worker sends at once.")] = 4
    max_queries_per_credential: Annotated[
        Count,
        Meta(description="Of these connections, those that one credential reads on; others of it wait, then 429."),
    ] = 2
    max_exports_per_credential: Annotated[
        Count, Meta(description="Of these streams, those of one credential (all tokens of a device are one); then 429.")
    ] = 2
    export_timeout_secs: Annotated[
        Seconds, Meta(description="Longest time one stream may take; then it is cut off.")
    ] = 3600.0


class DeadLetterSettings(Section, frozen=True):
    """What was refused over MQTT or by the database, and is kept to look at and to replay."""

    keep_days: Annotated[
        int, Meta(ge=1, le=36_500, description="Dead letters are removed this long after they were last refused.")
    ] = 30
    max_bytes: Annotated[
        Count,
        Meta(
            description="Bytes of dead letters in the database; beyond it the oldest of whoever has most are removed."
        ),
    ] = 2**30
    device_bytes: Annotated[
        Count,
        Meta(
            description="Bytes of them of one device; beyond it its own oldest are removed. Devices that are not"
            " registered, and topics that name none, have four times as much together."
        ),
    ] = 64 * 2**20
    device_bytes_per_sec: Annotated[
        Count,
        Meta(
            description="Bytes that a device may add to them a second, a minute's worth at once, and each letter counts"
            " for 1 KiB at least; beyond it they are counted by device and code, without their bytes."
        ),
    ] = 256 * 2**10


class AuditSettings(Section, frozen=True):
    """Who did what to the registry, the keys and the dead letters."""

    keep_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="Lines of the audit are removed this long after the act, and keys after they ended.",
        ),
    ] = 365
