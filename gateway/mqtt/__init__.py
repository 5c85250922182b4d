"""MQTT: topics (pure), session (the client library), consumer (one message to one acknowledgement)."""
