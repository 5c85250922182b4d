"""Real servers to test against: TimescaleDB, PostgreSQL, Valkey and mosquitto, however this machine can have them."""
