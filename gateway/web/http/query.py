"""Query strings in, checked values out: moments, durations, pages and their cursors. Knows no route; raises BadRequest.

A cursor is opaque to callers: Base64url (RFC 4648 5) of MessagePack, with a digest of the question it continues: one
from another question is refused and never skips or repeats rows.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import msgspec
from sanic import Request

from gateway.core.durations import parse_duration
from gateway.core.errors import BadRequest
from gateway.core.timestamps import unescaped
from gateway.domain.layouts import DEVICE_NAME
from gateway.ingest.wire.device_time import parse_timestamp
from gateway.web.http.path import shown

MAX_CURSOR = 1000
"""Characters."""
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}\.[0-9]{1,9}", re.ASCII)

_pack = msgspec.msgpack.Encoder().encode


Row = TypeVar("Row")


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


class Question:
    """The parameters of one request, each taken once; what is left over at the end is refused."""

    def __init__(self, request: Request) -> None:
        self._given: dict[str, list[str]] = dict(request.get_args(keep_blank_values=True))
        self._asked: list[str] = []

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter that may be repeated."""
        self._asked.append(name)
        return self._given.pop(name, [])

    def one(self, name: str) -> str | None:
        """Return a parameter that may stand once. Raises BadRequest."""
        values = self.all(name)
        if len(values) > 1:
            raise BadRequest(f"{name}= stands {len(values)} times; send it once", parameter=name)
        return values[0] if values else None

    def names(self, name: str, *, most: int) -> list[str]:
        """Return names separated by commas or repeated, without doubles. Raises BadRequest for more than `most`."""
        found = [part.strip() for value in self.all(name) for part in value.split(",")]
        if "" in found:
            raise BadRequest(f"{name}= names nothing; separate names by commas, or leave it out", parameter=name)
        found = list(dict.fromkeys(found))
        if len(found) > most:
            raise BadRequest(f"{name}= names {len(found)}; at most {most} in one call", parameter=name)
        return found

    def flag(self, name: str) -> bool | None:
        """Return a parameter that is true or false. Raises BadRequest."""
        text = self.one(name)
        if text not in (None, "true", "false"):
            raise BadRequest(f"{name}={shown(text)} is not true or false", parameter=name)
        return None if text is None else text == "true"

    def number(self, name: str, *, default: int, least: int = 1, most: int) -> int:
        """Return a whole number. Raises BadRequest."""
        text = self.one(name)
        if text is None:
            return default
        number = int(text) if _WHOLE.fullmatch(text) else -1
        if not least <= number <= most:
            raise BadRequest(f"{name}={shown(text)} is not a whole number from {least} to {most}", parameter=name)
        return number

    def word(self, name: str, *, default: str, known: tuple[str, ...]) -> str:
        """Return one of some words. Raises BadRequest."""
        text = self.one(name)
        if text is not None and text not in known:
            raise BadRequest(f"{name}={shown(text)} is none of {', '.join(known)}", parameter=name)
        return default if text is None else text

    def duration(self, name: str) -> int | None:
        """Return a duration in seconds. Raises BadRequest."""
        text = self.one(name)
        return None if text is None else to_seconds(text, parameter=name)

    def moment(self, name: str, *, now_us: int) -> int | None:
        """Return a moment in microseconds since 1970 UTC. Raises BadRequest."""
        text = self.one(name)
        return None if text is None else to_moment(text, parameter=name, now_us=now_us)

    def page(self, *, default: int, most: int, about: object) -> Page:
        """Return which part is asked for; `about` is everything else that the question says. Raises BadRequest."""
        return to_page(self.number("limit", default=default, most=most), self.one("cursor"), about=about)

    def finish(self) -> None:
        """Raise BadRequest for a parameter that nobody has asked for."""
        for name in self._given:
            known = ", ".join(self._asked) or "none"
            raise BadRequest(f"there is no parameter {shown(name)}; known here: {known}", parameter=shown(name))


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
