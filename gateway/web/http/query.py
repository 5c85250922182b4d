"""Query strings: checked values out of them, by the struct of their operation; moments, durations, pages, cursors.

Raises BadRequest. A cursor is opaque to callers: Base64url (RFC 4648 5) of MessagePack, with a digest of the question
it continues: one from another question is refused and never skips or repeats rows.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from hashlib import blake2b
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from gateway.core.durations import parse_duration
from gateway.core.errors import BadRequest
from gateway.core.timestamps import unescaped
from gateway.domain.names import DEVICE_NAME
from gateway.ingest.wire.device_time import parse_timestamp
from gateway.web.http.path import shown

MAX_CURSOR = 1000
"""Characters."""
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}\.[0-9]{1,9}", re.ASCII)

_pack = msgspec.msgpack.Encoder().encode


Row = TypeVar("Row")
Parameters = TypeVar("Parameters", bound=msgspec.Struct)


class Page(NamedTuple):
    """A part of an answer."""

    limit: int
    after: Any
    """What the cursor holds: where the page before ended; None on the first page. Convert it before use."""
    digest: bytes

    def cursor(self, last: object | None) -> str | None:
        """Return the cursor of the page that follows `last`, or None if there is none."""
        if last is None:
            return None
        return urlsafe_b64encode(_pack((self.digest, last))).rstrip(b"=").decode()

    def cut(self, found: Sequence[Row]) -> tuple[Sequence[Row], Row | None]:
        """Return the page, and its last row if there are more: to be given what was asked for one more than `limit`."""
        rows = found[: self.limit]
        return rows, rows[-1] if len(found) > self.limit else None

    def last_name(self) -> str:
        """Return the device's name after which the page begins, '' on the first. Raises BadRequest."""
        if self.after is None:
            return ""
        if not isinstance(self.after, str) or not DEVICE_NAME.fullmatch(self.after):
            raise made_up()
        return self.after

    def last_number(self, *, most: int) -> int | None:
        """Return the number after which the page begins, None on the first. Raises BadRequest."""
        if self.after is not None and (type(self.after) is not int or not 0 < self.after <= most):
            raise made_up()
        number: int | None = self.after
        return number


def read_query(kind: type[Parameters], given: Mapping[str, list[str]]) -> Parameters:
    """Return the parameters of a request as the struct of its operation has them. Raises BadRequest.

    The type of a field says how it is read: a Literal or an Enum is one of some words, a bool is true or false, an int
    lies within its bounds; of a list the parameter may be repeated, or, where its Meta has `most`, stand as names
    separated by commas. What is left out has its default. With forbid_unknown_fields others are refused.
    """
    readers = _readers(kind)
    if kind.__struct_config__.forbid_unknown_fields:
        for name in given:
            if name not in readers:
                known = ", ".join(readers) or "none"
                raise BadRequest(f"there is no parameter {shown(name)}; known here: {known}", parameter=shown(name))
    return kind(**{field: read(name, given[name]) for name, (field, read) in readers.items() if name in given})


Read = Callable[[str, list[str]], object]


@cache
def _readers(kind: type[msgspec.Struct]) -> dict[str, tuple[str, Read]]:
    """Return parameter → the field that holds it, and what reads it."""
    hints = get_type_hints(kind, include_extras=True)
    names = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return {name: (field, _reader(*bare_type(hints[field]))) for field, name in names}


def bare_type(hint: Any) -> tuple[Any, list[Meta]]:
    """Return a type without None, and what was noted of it."""
    metas: list[Meta] = []
    while get_origin(hint) in (Annotated, Union, UnionType):
        if get_origin(hint) is Annotated:
            hint, *more = get_args(hint)
            metas = [*more, *metas]
        else:
            [hint] = [one for one in get_args(hint) if one is not NoneType]
    return hint, metas


def _reader(kind: Any, metas: list[Meta]) -> Read:
    if kind is int:
        least, most = (next(getattr(meta, bound) for meta in metas if meta.ge is not None) for bound in ("ge", "le"))
        return partial(_number, least=least, most=most)
    if kind is bool:
        return _flag
    if get_origin(kind) is Literal:
        return partial(_word, known=get_args(kind))
    if get_origin(kind) is list:
        most = next((meta.extra["most"] for meta in metas if meta.extra), None)
        return _all if most is None else partial(_names, most=most)
    if kind is str:
        return _one
    return lambda name, values: kind(_word(name, values, known=tuple(kind)))  # an Enum of words


def _one(name: str, values: list[str]) -> str:
    if len(values) > 1:
        raise BadRequest(f"{name}= stands {len(values)} times; send it once", parameter=name)
    return values[0]


def _all(_: str, values: list[str]) -> list[str]:
    return values


def _names(name: str, values: list[str], *, most: int) -> list[str]:
    """Return names separated by commas or repeated, without doubles."""
    found = [part.strip() for value in values for part in value.split(",")]
    if "" in found:
        raise BadRequest(f"{name}= names nothing; separate names by commas, or leave it out", parameter=name)
    found = list(dict.fromkeys(found))
    if len(found) > most:
        raise BadRequest(f"{name}= names {len(found)}; at most {most} in one call", parameter=name)
    return found


def _flag(name: str, values: list[str]) -> bool:
    text = _one(name, values)
    if text not in ("true", "false"):
        raise BadRequest(f"{name}={shown(text)} is not true or false", parameter=name)
    return text == "true"


def _number(name: str, values: list[str], *, least: int, most: int) -> int:
    text = _one(name, values)
    number = int(text) if _WHOLE.fullmatch(text) else -1
    if not least <= number <= most:
        raise BadRequest(f"{name}={shown(text)} is not a whole number from {least} to {most}", parameter=name)
    return number


def _word(name: str, values: list[str], *, known: tuple[str, ...]) -> str:
    text = _one(name, values)
    if text not in known:
        raise BadRequest(f"{name}={shown(text)} is none of {', '.join(known)}", parameter=name)
    return text


def to_page(limit: int, cursor: str | None, *, about: object) -> Page:
    """Return which part is asked for; `about` is everything else that the question says. Raises BadRequest."""
    digest = blake2b(_pack(about), digest_size=6).digest()
    return Page(limit, None if cursor is None else _open(cursor, digest), digest)


def to_seconds(text: str, *, parameter: str) -> int:
    """`15m` → 900. Raises BadRequest."""
    duration = parse_duration(text)
    if duration is None:
        raise BadRequest(
            f"{parameter}={shown(text)} is no duration; send a whole number and s, m, h or d, such as 15m",
            parameter=parameter,
        )
    return duration.secs


def to_moment(text: str, *, parameter: str, now_us: int) -> int:
    """Read RFC 3339 with a zone, an epoch number as ingest takes it, `now`, or `-15m` before it. Raises BadRequest."""
    if text == "now":
        return now_us
    if text.startswith("-"):
        return max(0, now_us - to_seconds(text[1:], parameter=parameter) * 1_000_000)
    try:
        if _WHOLE.fullmatch(text):
            return parse_timestamp(int(text))
        if _DECIMAL.fullmatch(text):
            return parse_timestamp(float(text))
        return parse_timestamp(unescaped(text))
    except ValueError:  # msgspec's is one of them
        raise BadRequest(
            f"{parameter}={shown(text)} is no moment; send RFC 3339 with a zone (2026-01-31T12:00:00Z), an epoch"
            " number, or a duration before now such as -15m",
            parameter=parameter,
        ) from None


def made_up() -> BadRequest:
    """Return what is said to a cursor that no answer of ours held."""
    return BadRequest("cursor= is not one of ours; send the next_cursor of the page before", parameter="cursor")


def _open(cursor: str, digest: bytes) -> object:
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError(cursor)
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        given, last = msgspec.msgpack.decode(packed, type=tuple[bytes, Any])
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise made_up() from None
    if given != digest:
        raise BadRequest("cursor= belongs to another question; keep all other parameters", parameter="cursor")
    return last
