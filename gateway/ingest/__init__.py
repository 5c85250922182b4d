"""The path of a reading: bytes in, a COMMIT or a spooled record, and the receipt out."""
