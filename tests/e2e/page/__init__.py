"""The fleet page in a real Chromium on a real gateway: TimescaleDB, Valkey, mosquitto, two workers."""
