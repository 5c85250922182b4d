"""Bytes of one request in, what it says out, if it is one that needs nothing but an answer. Pure; never raises.

Plain is a request for one of two addresses, whose every header is here and known, with nothing about encodings,
conditions on writing, or the connection's end; of a declared body the end may be missing yet, and nothing may follow.
What is not plain is not wrong: Sanic reads it, and decides.
"""

import re
from typing import Final, NamedTuple

from gateway.domain.model import MAX_NAME

_NAME = rf"[A-Za-z0-9._:\-]{{1,{MAX_NAME}}}"
_POST = re.compile(rf"POST /v1/(?:devices/({_NAME})/)?readings HTTP/1\.1")
_GET = re.compile(rf"GET /v1/devices/({_NAME})/state HTTP/1\.1")
_LENGTH = re.compile(r"[0-9]{1,9}")
_END = b"\r\n\r\n"
MAX_HEAD = 4096
"""Longest head that is read here, in bytes: less than Sanic's limit, so that it is Sanic who refuses."""
OF_PROXIES: Final = frozenset({"forwarded", "x-forwarded-for"})
"""What proxies say about whom they speak for: it changes no answer, but may say who pays for it."""
_READ: Final = frozenset(
    {"authorization", "connection", "content-length", "content-type", "if-none-match", "x-request-id"}
)
_SAYS_NOTHING: Final = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "dnt", "host", "origin", "pragma", "priority",
        "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "traceparent", "tracestate", "user-agent",
        "via", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
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
    hops: tuple[tuple[str, str], ...]
    """Names and values of headers OF_PROXIES, in order."""
    body: bytes
    missing: int
    """Bytes of the body that have not come yet."""


class Reader:
    """Reads the requests of one connection. Most clients send one head again and again, so the last is remembered."""

    __slots__ = ("_head", "_length", "_plain")

    def __init__(self) -> None:
        self._head = b""
        self._length = 0
        """Bytes of the body that this head announces."""
        self._plain: Plain | None = None

    def read(self, data: bytes) -> Plain | None:
        """Return what a plain request says, or the beginning of one; None for everything else."""
        head, last = self._head, self._plain
        missing = len(head) + self._length - len(data)
        if last is not None and missing >= 0 and data.startswith(head):
            return Plain(*last[:-2], data[len(head) :], missing)
        plain = self._plain = parse(data)
        if plain is not None:
            self._length = len(plain.body) + plain.missing
            self._head = data[: len(data) - len(plain.body)]
        return plain


def parse(data: bytes) -> Plain | None:
    """Return what a plain request says, or the beginning of one; None for everything else."""
    end = data.find(_END, 0, MAX_HEAD)
    head = data[:end]
    if end < 0 or not head.isascii():
        return None
    line, *fields = head.decode("ascii").split("\r\n")
    hops: list[tuple[str, str]] = []
    said = _said(fields, hops)
    if said is None or said.get("connection", "keep-alive") not in ("keep-alive", "Keep-Alive"):
        return None
    body = data[end + len(_END) :]
    if found := _POST.fullmatch(line):
        missing = _declared(said) - len(body)
        fits = missing >= 0 and said.get("content-type") in _JSON and "if-none-match" not in said
        return _plain(said, found[1], hops, body, missing) if fits else None
    if found := _GET.fullmatch(line):
        fits = not body and "content-length" not in said
        return _plain(said, found[1], hops, body, None) if fits else None
    return None


def _said(fields: list[str], hops: list[tuple[str, str]]) -> dict[str, str] | None:
    """Return the headers that are read, None if there is one that is not known, or twice. Adds to `hops`."""
    said: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        name = name.lower()
        if not colon:
            return None
        if name in _SAYS_NOTHING:
            continue
        if name in OF_PROXIES:
            hops.append((name, _trimmed(value)))
            continue
        if name not in _READ or name in said:
            return None
        said[name] = _trimmed(value)
    return said


def _trimmed(value: str) -> str:
    """Return a field without the white space around it (RFC 9110 5.5), as Sanic's way has it."""
    return value.lstrip().rstrip(" \t")


def _declared(said: dict[str, str]) -> int:
    """Return the bytes of the body; -1 for a length that is not there or cannot be read."""
    length = said.get("content-length", "")
    return int(length) if _LENGTH.fullmatch(length) else -1


def _plain(
    said: dict[str, str], device: str | None, hops: list[tuple[str, str]], body: bytes, missing: int | None
) -> Plain | None:
    """Return the request; without `missing`, which only a body can be, it is a question."""
    authorization = said.get("authorization")
    if authorization is None:
        return None
    asked = said.get("x-request-id"), said.get("if-none-match")
    return Plain(missing is not None, device, authorization, *asked, tuple(hops), body, missing or 0)
