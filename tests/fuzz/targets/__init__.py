"""The targets: a file for each room that bytes come into. Importing this package fills the table."""

from tests.fuzz.targets import bodies, doors, http, mqtt, questions, rows, settings, stores

__all__ = ["bodies", "doors", "http", "mqtt", "questions", "rows", "settings", "stores"]
