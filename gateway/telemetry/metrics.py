"""Every Prometheus metric, once. Declares and keeps bound children; never reads a clock, never decides when to count.

With PROMETHEUS_MULTIPROC_DIR set before this module is imported, each process writes its numbers to a file there and
`exposition` merges those of all workers. Devices and metric names are never labels: there may be millions.
"""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.telemetry import MULTIPROC_ENV

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""
ROW_BUCKETS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000)


class Bound(dict[tuple[str, ...], Counter]):
    """The children of a counter by label values: looked up once (1.7 µs), then kept (0.9 µs to count)."""

    def __init__(self, metric: Counter) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Counter:
        child = self[labels] = self._metric.labels(*labels)
        return child


# -- what came in ------------------------------------------------------------------------------------------------------

readings_received = Bound(
    Counter("gateway_readings_received", "Readings taken in, good or bad.", ["source"]),
)
readings_refused = Bound(
    Counter("gateway_readings_refused", "Readings refused, by reason.", ["code"]),
)
overloads = Bound(
    Counter("gateway_overloads", "Requests and messages turned away by a full queue, by limit.", ["limit"]),
)

# -- what became durable -----------------------------------------------------------------------------------------------

messages_stored = Counter("gateway_messages_stored", "Messages (rows) committed, duplicates not counted.")
readings_stored = Counter("gateway_readings_stored", "Readings committed, duplicates not counted.")
readings_duplicate = Counter("gateway_readings_duplicate", "Readings that were stored already, same value.")
readings_conflict = Counter("gateway_readings_conflict", "Readings stored already with another value.")
commits = Counter("gateway_commits", "Transactions committed.")
commit_failures = Bound(
    Counter("gateway_commit_failures", "Transactions that failed, by what can be done about it.", ["kind"]),
)
commit_rows = Histogram("gateway_commit_rows", "Messages (rows) in one COMMIT.", buckets=ROW_BUCKETS)
commit_duration = Histogram("gateway_commit_seconds", "Time of one write, COMMIT included.", buckets=LATENCY_BUCKETS)
ingest_commit = Histogram(
    "gateway_ingest_commit_seconds", "From taking a body in to its COMMIT.", buckets=LATENCY_BUCKETS
)
dead_letters = Bound(
    Counter("gateway_dead_letters", "Items kept as dead letters, by source and reason.", ["source", "code"]),
)

# -- what waits --------------------------------------------------------------------------------------------------------

queue_rows = Gauge("gateway_queue_rows", "Messages that wait for a COMMIT or are in one.", multiprocess_mode="livesum")
queue_bytes = Gauge("gateway_queue_bytes", "Bytes that wait for a COMMIT or are in one.", multiprocess_mode="livesum")

# -- the newest state --------------------------------------------------------------------------------------------------

state_apply = Histogram(
    "gateway_state_apply_seconds", "Time of one update of the newest state.", buckets=LATENCY_BUCKETS
)
state_failures = Counter("gateway_state_failures", "Updates and reads of the newest state that failed.")
state_skipped_rows = Counter(
    "gateway_state_skipped_rows", "Newest messages dropped while Redis was away; a rebuild restores them."
)
state_late = Counter("gateway_state_late", "Acknowledgements that did not wait for the newest state.")

# -- the doors ---------------------------------------------------------------------------------------------------------

http_requests = Bound(
    Counter("gateway_http_requests", "HTTP requests, by route and status class.", ["route", "status"]),
)
http_problems = Bound(
    Counter("gateway_http_problems", "HTTP requests answered with a problem, by code.", ["code"]),
)
mqtt_connected = Gauge(
    "gateway_mqtt_connected", "Connections to the MQTT broker that are up.", multiprocess_mode="livesum"
)
mqtt_messages = Counter("gateway_mqtt_messages", "MQTT messages received.")
mqtt_in_hand = Gauge(
    "gateway_mqtt_in_hand_messages",
    "MQTT messages taken but not yet acknowledged.",
    multiprocess_mode="livesum",
)
mqtt_qos0_dropped = Counter("gateway_mqtt_qos0_dropped", "QoS 0 messages dropped because too many were in hand.")
mqtt_losses = Counter("gateway_mqtt_losses", "MQTT connections lost.")


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format, of every worker when there are several."""
    if MULTIPROC_ENV not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
