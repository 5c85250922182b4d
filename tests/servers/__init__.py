"""Real servers to test against: TimescaleDB, PostgreSQL, Valkey, mosquitto, InfluxDB; however this machine has them."""
