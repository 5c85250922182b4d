"""A load generator that keeps a ledger of what it sent and proves, reading by reading, what became of it."""
