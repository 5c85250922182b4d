"""Limits of the HTTP door that a test reaches with little, a body within them, and what a problem is called."""

import orjson

from gateway.core.settings import HttpSettings

CAP = 1000
BODY = b'{"device":"d1","metric":"t","value":1.5}'
LIMITS = HttpSettings(
    drain_secs=0, grace_secs=1, max_body_bytes=CAP, max_inflated_bytes=4 * CAP, body_deadline_secs=0.3
)


def code_of(body: bytes) -> object:
    """The code of a problem."""
    return orjson.loads(body)["code"]
