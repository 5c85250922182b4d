"""JSON of clients: text → typed values, or what is wrong with it in words. Pure; raises BadPayload and BadRequest.

A byte order mark is passed over (RFC 8259 8.1). A key that stands twice in one object is refused wherever a decoder
would keep the last in silence.
"""

import json
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec

from gateway.core.errors import BadPayload, BadRequest
from gateway.domain.refusals import pointer

MARK = b"\xef\xbb\xbf"
"""The byte order mark: many editors and libraries of Windows begin a text with it."""
_BLANKS = b" \t\r\n"

Asked = TypeVar("Asked")
Pair = tuple[str, Any]


class Repeated(dict[str, Any]):
    """An object as its last keys say it, and all that was posted."""

    __slots__ = ("pairs",)

    def __init__(self, last: dict[str, Any], pairs: list[Pair]) -> None:
        super().__init__(last)
        self.pairs = pairs


def decode(
    decoder: "msgspec.json.Decoder[Asked]", body: bytes, *, what: str = "the body", cannot: str = "cannot be served"
) -> Asked:
    """Return what the text says. Raises BadPayload if it is no JSON, BadRequest if it says what cannot be."""
    text = without_mark(body)
    try:
        found = decoder.decode(text)
    except msgspec.ValidationError as exc:
        raise BadRequest(f"{what} {cannot}: {exc}") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadPayload(f"{what} is not JSON: {fault(body) or exc}") from exc
    place = None if most_keys(text) < 2 else _first_repeated(_by_pairs(text), "")  # noqa: PLR2004 - two are a repeat
    if place is not None:
        raise BadRequest(f"{what} {cannot}: {place} stands more than once; send each key once", parameter=place)
    return found


def without_mark(body: bytes) -> bytes:
    """Return the text without a byte order mark."""
    return body.removeprefix(MARK)


def begins(text: bytes) -> bool:
    """Whether a text begins as a JSON object or array does."""
    return without_mark(text).lstrip(_BLANKS)[:1] in (b"{", b"[")


def fault(body: bytes) -> str | None:
    """Say what is wrong with a text that a parser's own words explain badly; None if that is not so."""
    if not without_mark(body).strip():
        return "it is empty"
    if body[1:4:2] == b"\0\0" or body[0:3:2] == b"\0\0" or body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16; send UTF-8"
    if body.rstrip().endswith(b"\0"):
        return "it ends with a NUL, as a string in C does; send as many bytes as strlen() says, without the NUL"
    return None


def as_posted(pairs: list[Pair]) -> dict[str, Any]:
    """Return an object that says so if it repeats a key: an `object_pairs_hook` for the standard library's decoder."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(found, pairs)


def repeated_key(found: object) -> str | None:
    """Return the first key that an object repeats, None if there is none."""
    seen: set[str] = set()
    for key, _ in found.pairs if isinstance(found, Repeated) else ():
        if key in seen:
            return key
        seen.add(key)
    return None


def pairs_of(found: dict[str, Any]) -> Collection[Pair]:
    """Return everything that was posted in an object."""
    return found.pairs if isinstance(found, Repeated) else found.items()


def most_keys(body: bytes) -> int:
    """Return how many keys a well-formed text has at most: its colons behind a quote."""
    return body.translate(None, _BLANKS).count(b'":')


def _by_pairs(text: bytes) -> Any:
    """Read well-formed JSON again. Numbers are not looked at, so that none is too long."""
    return json.loads(text, object_pairs_hook=as_posted, parse_int=str, parse_float=str, strict=False)


def _first_repeated(found: Any, path: str) -> str | None:
    """Return the JSON pointer to a key that stands more than once in its object, None if there is none."""
    key = repeated_key(found)
    if key is not None:
        return f"{path}/{pointer(key)}"
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(found, dict):
        inner = found.items()
    elif isinstance(found, list):
        inner = enumerate(found)
    inner = [(token, one) for token, one in inner if isinstance(one, dict | list)]
    places = (_first_repeated(one, f"{path}/{pointer(str(token))}") for token, one in inner)
    return next((place for place in places if place is not None), None)
