"""Bytes of one request in, what it says out, if it is one that needs nothing but an answer. Pure; never raises.

Plain is a whole request, in one piece, for one of two addresses, whose every header is known here, with nothing about
encodings, conditions on writing, or the connection's end. What is not plain is not wrong: Sanic reads it, and decides.
"""

import re
from typing import Final, NamedTuple

from gateway.model import MAX_NAME

_NAME = rf"[A-Za-z0-9._:\-]{{1,{MAX_NAME}}}"
_POST = re.compile(rf"POST /v1/(?:devices/({_NAME})/)?readings HTTP/1\.1")
_GET = re.compile(rf"GET /v1/devices/({_NAME})/state HTTP/1\.1")
_LENGTH = re.compile(r"[0-9]{1,9}")
_END = b"\r\n\r\n"
_READ: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "if-none-match", "x-request-id"}
)
_SAYS_NOTHING: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "dnt", "forwarded", "host", "origin", "pragma", "priority",
        "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "traceparent", "tracestate", "user-agent",
        "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
    }
)  # fmt: skip
"""Headers that change nothing about either of the two answers."""
_JSON = frozenset({None, "application/json", "application/json; charset=utf-8"})


class Plain(NamedTuple):
    """A plain request: a post of readings, or a question for the state of one device."""

    posts: bool
    device: str | None
    """As the address names it."""
    authorization: str
    request_id: str | None
    if_none_match: str | None
    body: bytes


class Reader:
    """Reads the requests of one connection. Most clients send one head again and again, so the last is remembered."""

    __slots__ = ("_head", "_length", "_plain")

    def __init__(self) -> None:
        self._head = b""
        self._length = 0
        """Bytes of the body that this head announces."""
        self._plain: Plain | None = None

    def read(self, data: bytes) -> Plain | None:
        """Return what a plain request says; None for everything else."""
        head, last = self._head, self._plain
        if last is not None and len(data) == len(head) + self._length and data.startswith(head):
            return Plain(*last[:-1], data[len(head) :])
        plain = self._plain = parse(data)
        if plain is not None:
            self._length = len(plain.body)
            self._head = data[: len(data) - self._length]
        return plain


def parse(data: bytes) -> Plain | None:
    """Return what a plain request says; None for everything else."""
    end = data.find(_END)
    head = data[:end]
    if end < 0 or not head.isascii():
        return None
    line, *fields = head.decode("ascii").split("\r\n")
    said = _said(fields)
    if said is None or said.get("connection", "keep-alive") not in ("keep-alive", "Keep-Alive"):
        return None
    body = data[end + len(_END) :]
    if found := _POST.fullmatch(line):
        fits = said.get("content-type") in _JSON and "if-none-match" not in said
        return _plain(said, found[1], body, posts=True) if fits and _is_whole(said, body) else None
    if found := _GET.fullmatch(line):
        fits = not body and "content-length" not in said
        return _plain(said, found[1], body, posts=False) if fits else None
    return None


def _said(fields: list[str]) -> dict[str, str] | None:
    """Return the headers that are read, None if there is one that is not known, or twice."""
    said: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        name = name.lower()
        if not colon:
            return None
        if name in _SAYS_NOTHING:
            continue
        if name not in _READ or name in said:
            return None
        said[name] = value.lstrip()
    return said


def _is_whole(said: dict[str, str], body: bytes) -> bool:
    length = said.get("content-length", "")
    return _LENGTH.fullmatch(length) is not None and int(length) == len(body)


def _plain(said: dict[str, str], device: str | None, body: bytes, *, posts: bool) -> Plain | None:
    authorization = said.get("authorization")
    if authorization is None:
        return None
    return Plain(posts, device, authorization, said.get("x-request-id"), said.get("if-none-match"), body)
