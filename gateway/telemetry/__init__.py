"""What the gateway says about itself: `prometheus` declares every number, `events` says and counts what happens."""

MULTIPROC_ENV = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder where worker processes merge their metrics; read by prometheus_client when it is imported."""
