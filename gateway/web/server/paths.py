"""The paths of operations in Sanic's notation.

A segment `{name}` is a parameter; `{name:pattern}` is one that only matches what its pattern takes.
"""

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from gateway.domain.dead_letters import MAX_ID
from gateway.web.http.call import Operation

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")
_COLON = "(?::|%3[Aa])"
REST = "path"
"""The pattern of a parameter that takes all that is left of the path."""


class Pattern(NamedTuple):
    """What a parameter's segment must look like, and what a handler gets of it."""

    regex: str
    read: Callable[[str], object]
    """Raises ValueError for what looks right and is not (no such route)."""


def to_id(segment: str) -> int:
    """Return the id that a segment names. Raises ValueError for what cannot be one."""
    number = int(segment)
    if not 1 <= number <= MAX_ID:
        raise ValueError(segment)
    return number


PATTERNS = {"id": Pattern("[0-9]{1,19}", to_id)}


def to_sanic(router: Any, operation: Operation) -> str:
    """Return an operation's path in Sanic's own notation, with its patterns registered at Sanic's router.

    Sanic quotes the colon of a literal path and then never finds it, so a segment with a verb is a pattern of its own.
    """
    return "/".join([_segment(router, operation.label, segment) for segment in operation.path.split("/")])


def _segment(router: Any, label: str, segment: str) -> str:
    bare, colon, verb = _split_verb(segment)
    found = _PARAMETER.fullmatch(bare)
    if not colon and not found:
        return segment
    name, kind = (found[1], found[2]) if found else ("call", None)
    if not colon and kind is None:
        return f"<{name}:str>"
    if kind == REST:
        return f"<{name}:path>"
    pattern = PATTERNS[kind] if kind else Pattern(re.escape(bare), str)
    registered = f"{label}_{name}"
    read = _reader(pattern, verb)
    read.__name__ = registered  # the router writes source code that calls it by this name
    router.register_pattern(registered, read, f"^{pattern.regex}{_COLON + re.escape(verb) if colon else ''}$")
    return f"<{name}:{registered}>"


def _split_verb(segment: str) -> tuple[str, str, str]:
    """`{id}:replay` → `{id}`, `:`, `replay`; a colon inside braces is no verb."""
    end = segment.rfind("}") + 1
    bare, colon, verb = segment[end:].partition(":")
    return segment[:end] + bare, colon, verb


def _reader(pattern: Pattern, verb: str) -> FunctionType:
    def read(segment: str) -> object:
        text = unquote(segment)
        if not verb:
            return pattern.read(text)
        bare, _, given = text.rpartition(":")
        if given != verb:
            raise ValueError(segment)
        return pattern.read(bare)

    return cast("FunctionType", read)
