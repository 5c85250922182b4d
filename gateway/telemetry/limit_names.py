"""Names of limits, as metrics are labelled with them: what may be full, and for whom."""

FULL = (
    "queue.max_rows",
    "queue.max_bytes",
    "http.max_connections",
    "http.max_connections_per_address",
    "http.max_inflight_bytes",
    "http.max_unread_bytes",
    "history.pool",
    "history.max_exports",
    "auth.max_look_ups",
)
"""What may be full and turn somebody away."""
SHARES = (
    "history.max_exports_per_credential",
    "history.max_queries_per_credential",
    "limits.lists_per_credential",
    "limits.jobs_per_credential",
)
"""What one credential may have only so much of at once."""
STREAM_LIMITS = (
    "live.max_streams",
    "live.max_streams_per_credential",
    "live.max_streams_per_device",
    "subscriptions",
    "devices in filters",
)
CUT_OFF = (
    "http.max_connections",
    "http.max_connections_per_address",
    "http.max_inflight_bytes",
    "http.head_deadline_secs",
    "http.keep_alive_secs",
    "http.max_unread_bytes",
    "http.stall_secs",
)
"""What may be reached so that a connection is closed that was open."""
