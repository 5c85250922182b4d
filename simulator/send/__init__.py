"""Sending: posts written, sent at their times over HTTP and MQTT, and kept in a ledger with what was answered."""
