"""A slowdown, planted in the path of every body before a run: what the budget must find and name."""

import hashlib

from gateway.ingest.intake import BodyIntake
from gateway.ingest.pending import SubmittedBody

take = BodyIntake.at_once


def at_once(self: BodyIntake, body: bytes, **more: str) -> SubmittedBody | None:
    """As before, and a checksum of every byte."""
    total = 0
    for byte in body:
        total = total + byte & 0xFFFF
    hashlib.sha256(body)
    return take(self, body, **more)  # type: ignore[arg-type]


BodyIntake.at_once = at_once  # type: ignore[assignment,method-assign]
