"""A client's X-Request-Id in, the id to answer with out. Never passes on what cannot stand in a header or a log."""

import secrets
from itertools import count

MAX_LENGTH = 128
"""Characters of a client's own id."""


class RequestIds:
    """Ids unique across workers and restarts, without a uuid a request: a random prefix a worker and a counter."""

    def __init__(self, prefix: str | None = None) -> None:
        self._prefix = prefix or secrets.token_hex(5)
        self._numbers = count(1)

    def choose(self, offered: str | None) -> str:
        """Return the client's id if it is 1 to 128 printable ASCII characters, else one of ours."""
        if offered and len(offered) <= MAX_LENGTH and offered.isascii() and offered.isprintable():
            return offered
        return f"{self._prefix}-{next(self._numbers):x}"
