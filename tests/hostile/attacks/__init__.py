"""The attacks: a file for each family. Importing this package fills the table."""

from tests.hostile.attacks import bodies, decode, ends, frames, heads, mqtt, pages, readers, seats, stores, tokens

__all__ = ["bodies", "decode", "ends", "frames", "heads", "mqtt", "pages", "readers", "seats", "stores", "tokens"]
