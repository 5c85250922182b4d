"""Metrics: every counter and histogram, once, with its bound children. Reads no clock, never decides when to count.

Levels and their limits are in `gauges`. Devices and metric names are never labels: there may be millions.
"""

from functools import partial
from itertools import chain, product

from prometheus_client import Counter, Gauge, Histogram

from gateway.core import settings
from gateway.core.errors import BadPayload, GatewayError, TooLarge
from gateway.domain.ledger import FromSpool
from gateway.domain.reasons import Reason
from gateway.telemetry.declared import Bound
from gateway.telemetry.limit_names import CUT_OFF, FULL, SHARES, STREAM_LIMITS

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""
ROW_BUCKETS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)

HTTP_GROUPS = ("ingest", "state", "history", "live", "registry", "dead_letters", "page", "ops", "none")
"""Routes whose times are told together."""
HTTP_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Seconds."""
SOURCES = ("http", "mqtt", "replay")
_RATES = [f"limits.{name}" for name in settings.LimitSettings.__struct_fields__ if name.endswith("_per_sec")]
_DEVICE_RATES = [name for name in _RATES if name.startswith("limits.device_")]
_UNREADABLE = ("bad_topic", BadPayload.code, TooLarge.code, GatewayError.code)
_LETTERS = (
    *product(("mqtt",), (*Reason, *_UNREADABLE)),
    ("spool", Reason.CONFLICT),
    ("database", Reason.REJECTED_BY_DATABASE),
    ("database", Reason.CONFLICT),
)


def _by_source(name: str, words: str) -> Bound[Counter]:
    return Bound(Counter(name, words, ["source"]), product(SOURCES))


# -- what came in ------------------------------------------------------------------------------------------------------

readings_received = _by_source("gateway_readings_received", "Readings taken in, good or bad.")
readings_queued = Bound(
    Gauge(
        "gateway_readings_queued", "Readings taken in and not answered yet.", ["source"], multiprocess_mode="livesum"
    ),
    product(SOURCES),
)
refusals = Bound(
    Counter("gateway_refusals", "Readings not taken, by reason; the same reading counts each time.", ["code"]),
    product(Reason),
)
overloads = Bound(
    Counter("gateway_overloads", "Requests and messages turned away by a full queue, by limit.", ["limit"]),
    product(FULL),
)

# -- what became durable -----------------------------------------------------------------------------------------------

readings_stored = _by_source("gateway_readings_stored", "Readings stored and acknowledged, duplicates not counted.")
readings_duplicate = _by_source("gateway_readings_duplicate", "Readings that were stored already, same value.")
readings_conflict = _by_source("gateway_readings_conflict", "Readings stored already with another value.")
readings_refused = _by_source("gateway_readings_refused", "Readings not taken, of which the sender was told.")
readings_dead_lettered = _by_source("gateway_readings_dead_lettered", "Readings not taken, and kept as dead letters.")
readings_spooled = _by_source("gateway_readings_spooled", "Readings acknowledged from the spool.")
readings_failed = _by_source("gateway_readings_failed", "Readings whose sender has to send them again.")
FATES = (
    readings_stored,
    readings_duplicate,
    readings_conflict,
    readings_refused,
    readings_dead_lettered,
    readings_spooled,
    readings_failed,
)
"""In the order of `ledger.Fate`."""
readings_from_spool = Bound(
    Counter("gateway_readings_from_spool", "Readings that left the spool, by what became of them.", ["outcome"]),
    product(FromSpool.__struct_fields__),
)
messages_committed = Counter("gateway_messages_committed", "Messages (rows) in transactions that were committed.")
commits = Counter("gateway_commits", "Transactions committed.")
commit_failures = Bound(
    Counter("gateway_commit_failures", "Transactions that failed, by what can be done about it.", ["kind"]),
    product(("transient", "fault")),
)
commit_rows = Histogram("gateway_commit_rows", "Messages (rows) in one COMMIT.", buckets=ROW_BUCKETS)
commit_duration = Histogram("gateway_commit_seconds", "Time of one write, COMMIT included.", buckets=LATENCY_BUCKETS)
ingest_commit = Histogram(
    "gateway_ingest_commit_seconds", "From taking a body in to its COMMIT.", buckets=LATENCY_BUCKETS
)
rate_limited = Bound(
    Counter(
        "gateway_rate_limited",
        "Requests refused (HTTP) and messages slowed or made backfill (MQTT) by a rate limit, by setting.",
        ["limit", "outcome"],
    ),
    chain(product(_RATES, ("refused",)), product(_DEVICE_RATES, ("slowed", "backfill"))),
)
shares_refused = Bound(
    Counter("gateway_shares_refused", "Requests refused as their credential had its share at once.", ["limit"]),
    product(SHARES),
)
dead_letters = Bound(
    Counter("gateway_dead_letters", "Items kept as dead letters, by source and reason.", ["source", "code"]), _LETTERS
)
dead_letters_replayed = Counter("gateway_dead_letters_replayed", "Dead letters whose replay was accepted whole.")
dead_letters_purged = Bound(
    Counter("gateway_dead_letters_purged", "Dead letters removed to stay within a limit.", ["limit"]),
    product(("dead_letters.keep_days", "dead_letters.max_bytes", "dead_letters.device_bytes")),
)
dead_letters_folded = Bound(
    Counter(
        "gateway_dead_letters_folded",
        "Dead letters that are only counted, in one of their device and reason: too fast, or too large.",
        ["source", "code"],
    ),
    _LETTERS,
)

chunks_dropped = Counter("gateway_retention_chunks", "Chunks of a hypertable dropped for their age.")
messages_removed = Counter("gateway_retention_messages", "Messages removed for their age from an ordinary table.")

# -- what waits --------------------------------------------------------------------------------------------------------

queue_rows = Gauge("gateway_queue_rows", "Messages that wait for a COMMIT or are in one.", multiprocess_mode="livesum")
queue_bytes = Gauge("gateway_queue_bytes", "Bytes that wait for a COMMIT or are in one.", multiprocess_mode="livesum")

spool_rows = Gauge("gateway_spool_rows", "Messages that wait on disk.", multiprocess_mode="livesum")
spool_bytes = Gauge("gateway_spool_bytes", "Bytes of the spool in use.", multiprocess_mode="livesum")
spool_damaged_records = Counter(
    "gateway_spool_damaged_records", "Batches in the spool that cannot be read; they are kept."
)
spool_refusals = Bound(
    Counter("gateway_spool_refusals", "Appends the spool turned away, by cause.", ["cause"]), product(("full", "fault"))
)

# -- the newest state --------------------------------------------------------------------------------------------------

state_apply = Histogram(
    "gateway_state_apply_seconds", "Time of one update of the newest state.", buckets=LATENCY_BUCKETS
)
state_failures = Counter("gateway_state_failures", "Updates and reads of the newest state that failed.")
state_skipped_rows = Counter(
    "gateway_state_skipped_rows", "Newest messages dropped while Redis was away; a rebuild restores them."
)
state_complete = Gauge(
    "gateway_state_complete",
    "1 if the newest state is known to be complete in Redis, as the least sure worker sees it.",
    multiprocess_mode="livemin",
)
state_rebuilds = Bound(
    Counter("gateway_state_rebuilds", "Rebuilds of the newest state from the database, by result.", ["result"]),
    product(("done", "repeated", "failed")),
)
state_db_reads = Counter("gateway_state_db_reads", "Devices whose newest state was read from the database.")
state_mended = Counter(
    "gateway_state_mended_devices", "Devices not whole in Redis, and filled again in the background."
)
state_left_out = Counter(
    "gateway_state_left_out_messages", "Newest messages not kept in Redis: their device would take too much there."
)
state_evicting = Gauge(
    "gateway_state_evicting",
    "1 while Redis may drop the newest state when its memory is full (maxmemory-policy allkeys-...).",
    multiprocess_mode="livemax",
)
state_evicted_keys = Gauge(
    "gateway_state_evicted_keys",
    "Keys, of anybody, that Redis has dropped since it started because its memory was full.",
    multiprocess_mode="livemax",
)
state_late = Counter("gateway_state_late", "Acknowledgements that did not wait for the newest state.")

# -- the stream of changes ---------------------------------------------------------------------------------------------

live_streams = Gauge(
    "gateway_live_streams",
    "Streams of changes open: SSE, and subscriptions of WebSockets.",
    multiprocess_mode="livesum",
)
live_events = Counter("gateway_live_events", "Events queued for streams.")
live_skipped = Counter("gateway_live_skipped_values", "Values that newer ones replaced before a slow reader took them.")
live_resets = Bound(
    Counter("gateway_live_resets", "Streams told to begin anew from all newest values, by reason.", ["reason"]),
    product(("start", "too_old", "lost")),
)
live_gaps = Counter("gateway_live_gaps", "Gaps found in the log of changes: Redis lost it, or changes were skipped.")
live_ended = Bound(
    Counter("gateway_live_ended", "Streams that the gateway ended, by reason.", ["reason"]),
    product(("stalled", "silent", "unauthorized", "unverified", "draining", "unavailable")),
)

live_refused = Bound(
    Counter("gateway_live_refused", "Streams refused because too many are open, by limit.", ["limit"]),
    product(STREAM_LIMITS),
)
refusals_held_back = Counter(
    "gateway_unauthorized_held_back", "Answers 401 that came later than they could, because there were many of them."
)
credentials_ended = Bound(
    Counter(
        "gateway_credentials_ended",
        "Streams, exports and reads that ended in their midst: their credential is not valid any more, or nobody could"
        " tell for auth.grace_secs.",
        ["reason"],
    ),
    product(("unauthorized", "unverified")),
)

# -- HTTP and MQTT -----------------------------------------------------------------------------------------------------

http_requests = Bound(
    Counter("gateway_http_requests", "HTTP requests, by route and status class.", ["route", "status"]), ()
)
http_problems = Bound(Counter("gateway_http_problems", "HTTP requests answered with a problem, by code.", ["code"]), ())
http_cut_off = Bound(
    Counter("gateway_http_cut_off", "HTTP connections closed because of a bound, by limit.", ["limit"]),
    product(CUT_OFF),
)
http_connections = Gauge(
    "gateway_http_connections", "HTTP connections open, streams and WebSockets among them.", multiprocess_mode="livesum"
)
http_deferred = Counter(
    "gateway_http_deferred", "Times a connection waited for a later turn: it had sent more than its share of one."
)
# One histogram, which `exposing` shows as such: the library's own takes one observation at a time. "sum": what a worker
# has counted stays when it is gone, as counters do.
_Part = partial(Gauge, multiprocess_mode="sum")
http_seconds_bucket = Bound(
    _Part("gateway_http_request_seconds_bucket", "Time from a request's head to its answer.", ["group", "le"]),
    product(HTTP_GROUPS, [*map(str, HTTP_BOUNDS), "+Inf"]),
)
http_seconds_count = Bound(
    _Part("gateway_http_request_seconds_count", "Requests answered.", ["group"]), product(HTTP_GROUPS)
)
http_seconds_sum = Bound(_Part("gateway_http_request_seconds_sum", "Their times.", ["group"]), product(HTTP_GROUPS))
idempotency = Bound(
    Counter(
        "gateway_idempotency", "Requests with an Idempotency-Key that was not simply new, by outcome.", ["outcome"]
    ),
    product(("replayed", "outdated", "mismatch", "in_progress", "unprotected", "shortened")),
)
idempotency_evicted = Bound(
    Counter("gateway_idempotency_evicted", "Kept answers that gave way to newer ones, by limit.", ["limit"]),
    product(("http.idempotency_credential_bytes", "http.idempotency_bytes")),
)
history_streams = Bound(
    Counter("gateway_history_streams", "Streams of stored readings that began, by how they ended.", ["outcome"]),
    product(("complete", "gone", "broken_off")),
)
mqtt_connected = Gauge(
    "gateway_mqtt_connected", "Connections to the MQTT broker that are up.", multiprocess_mode="livesum"
)
mqtt_messages = Counter("gateway_mqtt_messages", "MQTT messages received.")
mqtt_unacknowledged = Gauge(
    "gateway_mqtt_unacknowledged_messages", "MQTT messages taken but not yet acknowledged.", multiprocess_mode="livesum"
)
mqtt_qos0_dropped = Counter("gateway_mqtt_qos0_dropped", "QoS 0 messages dropped because too many were unacknowledged.")
mqtt_empty = Counter("gateway_mqtt_empty_messages", "MQTT messages without a payload: they clear a retained message.")
mqtt_receipts_refused = Bound(
    Counter(
        "gateway_mqtt_receipts_refused",
        "Receipts asked for by a Response Topic and not published, by reason.",
        ["reason"],
    ),
    product(("foreign_topic", "too_large", "too_many", "bad_topic")),
)
mqtt_losses = Counter("gateway_mqtt_losses", "MQTT connections lost.")
