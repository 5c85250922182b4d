"""Drivers: small HTTP and MQTT clients of our own, fast enough to measure with."""
