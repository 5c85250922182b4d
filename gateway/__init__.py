"""A device ingestion gateway whose 200 is a promise: committed, or durable, before it is said."""
