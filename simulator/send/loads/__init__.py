"""Send the parts of a run at their times, over HTTP and over MQTT, and keep their ledgers."""
