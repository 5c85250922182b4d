"""What schemathesis must know of media types that it cannot write by itself."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson", "text/csv")
def as_text(_: Any, value: object) -> bytes:
    """Lines as they are."""
    return value.encode(errors="replace") if isinstance(value, str) else str(value).encode(errors="replace")
