"""The stack for machines without Docker: PostgreSQL, Valkey and an MQTT broker from wheels, as our children."""
