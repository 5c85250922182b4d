"""The registry in PostgreSQL: devices, credentials, metrics, and the audit."""
