"""Gauges: how each thing stands and how much of it may be, and one function for each way they are set. Never waits.

A level and its limit have the same name but for `_limit`, so that "80 % full" is one division. Both are sums of the
workers of one gateway, unless a sentence says otherwise.
"""

import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from itertools import product

from prometheus_client import Counter, Gauge

from gateway.telemetry.declared import OPEN, Bound

PARTS = ("database", "redis", "mqtt", "queue", "spool")
POOLS = (
    "gateway",
    "gateway-state",
    "gateway-rebuild",
    "gateway-live",
    "gateway-history",
    "gateway-revisions",
    "gateway-tokens",
)
WRITER = "gateway-writer"
_Sum = partial(Gauge, multiprocess_mode="livesum")
_Least = partial(Gauge, multiprocess_mode="livemin")
_Most = partial(Gauge, multiprocess_mode="livemax")

_BUILD = (version("device-ingestion-gateway"), platform.python_version())

build_info = Bound(_Most("gateway_build_info", "What runs here; the value is 1.", ["version", "python"]), [_BUILD])
worker_up = Bound(
    Gauge("gateway_worker_up", "Workers that run, by name; the value is 1.", ["worker"], multiprocess_mode="liveall"),
    OPEN,  # as many as http.workers says
)
worker_restarts = Counter("gateway_worker_restarts", "Workers that died and were started again.")
ready = _Least("gateway_ready", "1 while traffic may come, as the least ready worker sees it.")
part_ok = Bound(
    _Least("gateway_part_ok", "1 while a part is in order, as the least well worker sees it.", ["part"]), product(PARTS)
)
stalled_secs = _Most("gateway_stalled_seconds", "How long readings have come in without one becoming durable.")
spool_oldest_secs = _Most("gateway_spool_oldest_seconds", "Age of the oldest batch that waits on disk.")

queue_rows_limit = _Sum("gateway_queue_rows_limit", "Messages that may wait for a COMMIT.")
queue_bytes_limit = _Sum("gateway_queue_bytes_limit", "Bytes that may wait for a COMMIT.")
spool_bytes_limit = _Sum("gateway_spool_bytes_limit", "Bytes that the spool may take.")
connections_limit = _Sum("gateway_http_connections_limit", "HTTP connections that may be open.")
inflight_bytes = _Sum("gateway_http_inflight_bytes", "Bytes of request bodies held.")
inflight_bytes_limit = _Sum("gateway_http_inflight_bytes_limit", "Bytes of request bodies that may be held.")
unread_bytes = _Sum("gateway_http_unread_bytes", "Bytes of answers that their readers have not taken.")
unread_bytes_limit = _Sum("gateway_http_unread_bytes_limit", "Bytes of answers that may wait for their readers.")
live_streams_limit = _Sum("gateway_live_streams_limit", "Streams of changes that may be open.")
exports = _Sum("gateway_history_exports", "NDJSON and CSV streams of history that are being sent.")
exports_limit = _Sum("gateway_history_exports_limit", "NDJSON and CSV streams of history that may be sent at once.")
state_pending_rows = _Sum("gateway_state_pending_rows", "Newest messages that Redis has not got yet.")
state_pending_rows_limit = _Sum("gateway_state_pending_rows_limit", "Newest messages that are kept for Redis.")
mqtt_unacknowledged_limit = _Sum(
    "gateway_mqtt_unacknowledged_messages_limit",
    "MQTT messages of each QoS that may be unacknowledged: twice mqtt.receive_max.",
)
dead_letter_bytes = _Most("gateway_dead_letter_bytes", "Bytes of dead letters in the database, as last counted.")
dead_letter_bytes_limit = _Most("gateway_dead_letter_bytes_limit", "Bytes of dead letters that are kept.")
database_connections = Bound(
    _Sum("gateway_database_connections", "Connections to the database in use, by what they are for.", ["pool"]),
    product((*POOLS, WRITER)),
)
database_connections_limit = Bound(
    _Sum("gateway_database_connections_limit", "Connections to the database that may be in use.", ["pool"]),
    product((*POOLS, WRITER)),
)
devices = _Most("gateway_devices", "Devices that are registered and enabled, as the first worker counted.")
devices_offline = _Most(
    "gateway_devices_offline", "Those of them without a reading for devices.offline_after_secs, as it counted."
)


def looked(*, is_ready: bool, parts: Mapping[str, Mapping[str, object]]) -> None:
    """Set what /readyz would say; a part that gave no account is not in order."""
    ready.set(is_ready)
    for name in PARTS:
        part_ok[(name,)].set(bool(parts.get(name, {}).get("ok")))


def lent(pool: str, change: int) -> None:
    """Note that a connection of a pool is in use (1) or is not any more (-1); those of commands are not counted."""
    if (pool,) in database_connections.declared:
        database_connections[(pool,)].inc(change)


def pool_opened(pool: str, size: int) -> None:
    """Set how many connections a pool may have."""
    if (pool,) in database_connections.declared:
        database_connections_limit[(pool,)].set(size)
