"""Objects of JSON from whoever may send anything: text in, what is in it out. Pure; never raises."""

from typing import Any

import orjson


def object_of(text: bytes | str) -> dict[str, Any]:
    """Return what is in an object of JSON; nothing if it is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
