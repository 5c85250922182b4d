"""The head of an HTTP/1 request, read by llhttp: bytes in, its line, fields and body's framing out. Pure, no I/O.

llhttp decides what is a field and what is a length (RFC 9112 5, 6.3), strictly: no folded lines, no bare CR or LF, no
blank before a colon, no length besides a coding. Methods are not its business: it knows a list of them, and reads the
target of CONNECT in another way, while which methods an address has is for the routes to say. What llhttp leaves to its
user is looked at here: the version, Host, how many fields there are, and whose address the target is.
"""

import re
from typing import Final, NamedTuple

import httptools

from gateway.domain.names import MAX_NAME

END = b"\r\n\r\n"
CHUNKED: Final = -1
"""The length of a body that is sent in chunks."""
MAX_REMEMBERED = 4096
"""Longest head that is read before Sanic asks for it, in bytes: below Sanic's limit, so that Sanic refuses."""
MAX_FIELDS = 100
MISSES = 8
"""After so many heads in a row that differ in more than a length, a connection's are read anew at once."""
MAX_DIGITS = 12
"""Of a length that differs from the one before; a longer one is read with its whole head."""
FORWARDING: Final = frozenset({b"forwarded", b"x-forwarded-for"})
"""What proxies say about whom they speak for: it changes no answer, but may say who pays for it."""
_NAME = rf"[A-Za-z0-9._:\-]{{1,{MAX_NAME}}}".encode()
_READINGS = re.compile(rb"/v1/(?:devices/(%b)/)?readings" % _NAME)
_STATE = re.compile(rb"/v1/devices/(%b)/state" % _NAME)
_LENGTH = b"\r\ncontent-length:"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~\-]+\]|[0-9A-Za-z\-._~!$&'()*+,;=%]*)(?::[0-9]{0,5})?")
"""RFC 9112 3.2, RFC 3986 3.2.2; it may be empty."""
_OTHER_TARGET = re.compile(rb"\*|[Hh][Tt][Tt][Pp][Ss]?://[^/?@#]+(?:[/?][^#]*)?")
"""What is no path: the asterisk, or an absolute address without a user (RFC 9112 3.2.2, RFC 9110 4.2.4)."""
_FAULT = re.compile(rb"\0|(?<!\r)\n|\r[^\n]")
_START = re.compile(rb"%b [\x21-\x7e]+ HTTP/1\.[01]\r\n" % _TOKEN.pattern)
_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}
_READ: Final = frozenset({b"authorization", b"connection", b"content-type", b"if-none-match", b"x-request-id"})
_NEUTRAL: Final = frozenset(
    {
        b"accept", b"accept-encoding", b"accept-language", b"content-length", b"dnt", b"host", b"origin", b"pragma",
        b"priority", b"referer", b"sec-fetch-dest", b"sec-fetch-mode", b"sec-fetch-site", b"traceparent",
        b"tracestate", b"user-agent", b"via", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto",
        b"x-real-ip",
    }
)  # fmt: skip
"""Headers that change nothing about the two answers that are given at once (a length is read with the framing)."""
_JSON = frozenset({None, b"application/json", b"application/json; charset=utf-8"})
_KEEP_ALIVE = frozenset({None, b"keep-alive", b"Keep-Alive"})


class BadHead(Exception):
    """This is not the head of an HTTP/1 request."""


class LargeHead(BadHead):
    """It has more than MAX_FIELDS fields."""


class DirectRequest(NamedTuple):
    """What a head says whose request may be answered at once: a post of readings, or one device's newest state."""

    is_post: bool
    device: str | None
    """As the address names it."""
    authorization: str
    request_id: str | None
    if_none_match: str | None
    forwarding: tuple[tuple[str, str], ...]
    """Names and values of headers FORWARDING, in order."""


class Head:
    """One head. Raises BadHead for bytes that are none."""

    __slots__ = ("around", "direct", "fields", "host", "length", "method", "raw", "target", "version")

    def __init__(self, raw: bytes) -> None:
        """Read `raw`, which ends with the first empty line that is in it."""
        self.raw = raw
        self.fields: list[tuple[bytes, bytes]] = []
        """Names in lower case, and values without the white space around them."""
        self.length: int | None = None
        """Bytes of the body, or CHUNKED; None without a body."""
        self.direct: DirectRequest | None = None
        self.host: bytes | None = None
        self.around: tuple[bytes, bytes] | None = None
        """What stands before and after the digits of the length; looked for when it is needed first."""
        try:
            self.method, self.target, version = raw[: raw.find(b"\r\n")].split(b" ")
            self.version = _VERSIONS[version]
            httptools.HttpRequestParser(self).feed_data(b"POST" + raw[len(self.method) :])
        except httptools.HttpParserUpgrade:  # whether to change the protocol is for others to say
            pass
        except (ValueError, KeyError, httptools.HttpParserError):
            raise BadHead from None
        if not _TOKEN.fullmatch(self.method) or (self.host is None and self.version == "1.1"):
            raise BadHead
        if (not self.target.startswith(b"/") and not _OTHER_TARGET.fullmatch(self.target)) or b"#" in self.target:
            raise BadHead
        if len(self.fields) > MAX_FIELDS:
            raise LargeHead

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a field, and how the body is framed (RFC 9112 6.3); llhttp calls it, after its own checks."""
        name, value = name.lower(), value.rstrip(b" \t")
        self.fields.append((name, value))
        if name == b"content-length":
            self.length = int(value)
        elif name == b"host":
            if self.host is not None or not _HOST.fullmatch(value):
                raise ValueError
            self.host = value
        elif name == b"transfer-encoding":
            if self.length is not None or value.lower() != b"chunked":
                raise ValueError
            self.length = CHUNKED

    def with_other_length(self, data: bytes) -> "Head | None":
        """Return the direct head that begins the data, if it differs from this one in the body's length alone.

        So it is with most clients whose heads are not all the same; to read one anew costs eight times as much.
        """
        around = self.around = self.around or _around_length(self.raw)
        before, after = around
        start = len(before)
        end = data.find(b"\r", start, start + MAX_DIGITS + 1)
        if end <= start or not data.startswith(before) or not data.startswith(after, end):
            return None
        digits = data[start:end]
        if not digits.isdigit():
            return None
        head = Head.__new__(Head)  # `copy` takes ten times as long
        head.raw, head.length, head.around = data[: end + len(after)], int(digits), around
        head.method, head.target, head.version, head.host = self.method, self.target, self.version, self.host
        head.direct = self.direct
        head.fields = [(name, digits if name == b"content-length" else value) for name, value in self.fields]
        return head


def _around_length(raw: bytes) -> tuple[bytes, bytes]:
    start = raw.lower().find(_LENGTH) + len(_LENGTH)
    if start < len(_LENGTH):
        return raw, b""
    line = raw[start : raw.find(b"\r\n", start)]
    digits = line.strip(b" \t")
    start += line.find(digits)
    return raw[:start], raw[start + len(digits) :]


def may_begin(data: bytearray) -> bool:
    """Whether this may be the beginning of a head: what cannot be is refused before its end has come."""
    return not _FAULT.search(data) and (data.find(b"\r\n") < 0 or _START.match(data) is not None)


class HeadParser:
    """The heads of one connection. Most clients send one again and again, so the last that was direct is remembered."""

    __slots__ = ("_last", "_misses")

    def __init__(self) -> None:
        self._last: Head | None = None
        self._misses = 0

    def peek(self, data: bytes) -> Head | None:
        """Return the head that begins the data, and whether it is direct; None if it is not whole, long, or none."""
        last = self._last
        if last is not None and data.startswith(last.raw):
            return last
        if last is not None and last.direct is not None and self._misses < MISSES:
            same = last.with_other_length(data)
            self._misses = 0 if same is not None else self._misses + 1
            if same is not None:
                self._last = same
                return same
        end = data.find(END, 0, MAX_REMEMBERED)
        if end < 0:
            return None
        try:
            head = self._last = Head(data[: end + len(END)])
        except BadHead:
            return None
        head.direct = to_direct(head)
        return head

    def take(self, data: bytearray, end: int) -> Head:
        """Return the head that begins the data and whose last empty line begins at `end`. Raises BadHead."""
        head, self._last = self._last, None
        if head is None or not data.startswith(head.raw):
            return Head(bytes(data[: end + len(END)]))
        if head.direct is not None:
            self._last = head
        return head


def to_direct(head: Head) -> DirectRequest | None:
    """Return what the head says, if all of it is known and nothing is about encodings or conditions; else None.

    What is not direct is not wrong: Sanic reads it, and decides.
    """
    is_post = head.method == b"POST"
    found = (_READINGS if is_post else _STATE).fullmatch(head.target)
    if found is None or head.version != "1.1" or not (is_post or head.method == b"GET"):
        return None
    forwarding: list[tuple[str, str]] = []
    said = _said(head, forwarding)
    if said is None or said.get(b"connection") not in _KEEP_ALIVE:
        return None
    if is_post:
        fits = (
            head.length not in (None, CHUNKED) and said.get(b"content-type") in _JSON and b"if-none-match" not in said
        )
    else:
        fits = head.length is None
    try:
        authorization, device, request_id, tag = [
            None if value is None else value.decode("ascii")
            for value in (said.get(b"authorization"), found[1], said.get(b"x-request-id"), said.get(b"if-none-match"))
        ]
    except UnicodeDecodeError:
        return None
    if authorization is None or not fits:
        return None
    return DirectRequest(is_post, device, authorization, request_id, tag, tuple(forwarding))


def _said(head: Head, forwarding: list[tuple[str, str]]) -> dict[bytes, bytes] | None:
    """Return the headers that are read, None if there is one that is not known, or twice. Adds to `forwarding`."""
    said: dict[bytes, bytes] = {}
    for name, value in head.fields:
        if name in _NEUTRAL:
            continue
        if name in _READ and name not in said:
            said[name] = value
        elif name in FORWARDING and value.isascii():
            forwarding.append((name.decode("ascii"), value.decode("ascii")))
        else:
            return None
    return said
