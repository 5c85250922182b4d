"""Loads: the parts of a run, sent at their times over HTTP and over MQTT, with their faults and right answers."""
