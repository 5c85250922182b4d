"""Committed changes → every reader that wants them. Begin with streams.py; hub.py and mailbox.py are pure."""
