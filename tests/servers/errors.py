"""Why a test cannot have what it needs."""


class NoGroundError(Exception):
    """This ground cannot be had on this machine; the message says why."""
