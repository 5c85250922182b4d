"""Stored readings, read back: rows, buckets, charts. Begin with reader.py; it only reads."""
