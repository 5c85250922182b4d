"""Committed changes → every reader that wants them. Begin with streams.py; hub.py and event_queue.py are pure."""
