"""Addresses that may hold a password: what of them may be shown, whether a password has torn one, and a broker's."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from simulator.core.errors import UsageError

MASK = "***"
_MQTT_PORT = 1883
_PASSWORD = re.compile(r"^((?:[A-Za-z][\w+.-]*://|(?![A-Za-z][\w+.-]*://))[^:]*:).*@", re.DOTALL)
_IN_WORDS = r"(password\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|\S)*)"
_HOST = re.compile(r"[^\s='\"]+")
_PARAMETER = r"([?&])([^\s=&]*)=([^\s&]*)"


def masked(url: str) -> str:
    """Return a URL, or libpq's connection string in words, also a malformed one, with `***` for its password."""
    if "://" not in url:
        url = re.sub(_IN_WORDS, rf"\1{MASK}", url, flags=re.IGNORECASE)
    return re.sub(_PARAMETER.replace(r"\s", ""), _parameter, _PASSWORD.sub(rf"\1{MASK}@", url))


def masked_within(text: str) -> str:
    """Return a text with `***` for the passwords of URLs in it; of malformed ones rather too much than too little."""
    shown = re.sub(r"((?:[\w+.-]+://)?[^\s:@/]*:)\S*@", rf"\1{MASK}@", text)
    return re.sub(_IN_WORDS, rf"\1{MASK}", re.sub(_PARAMETER, _parameter, shown), flags=re.IGNORECASE)


def _parameter(found: re.Match[str]) -> str:
    """Return a parameter of a URL with `***` for a password; its name may be encoded."""
    before, name, _ = found.groups()
    return f"{before}{name}={MASK}" if unquote(name).strip().lower().endswith("password") else found[0]


def split(url: str, *, with_query: bool = False) -> SplitResult | None:
    """Return the parts of a URL; None if it has none, or if a character of its password has torn it.

    What is left of such a password would be taken for a host, a port or a path, and shown.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    torn = parts.fragment or "@" in parts.path or ("@" in parts.query and "@" not in parts.netloc)
    return None if torn or (parts.query and not with_query) else parts


def port_of(parts: SplitResult) -> int | None:
    """Return the port, None if there is none, 0 if it is no port."""
    try:
        return parts.port
    except ValueError:
        return 0


@dataclass(frozen=True, slots=True)
class Broker:
    """Where a broker is, and who we are there."""

    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `host:port` or `mqtt://user:password@host:port`. Raises UsageError."""
        parts = split(text if "://" in text else f"mqtt://{text}")
        port = 0 if parts is None else port_of(parts)
        host = "" if parts is None else parts.hostname or ""
        if parts is None or parts.scheme != "mqtt" or not _HOST.fullmatch(host) or port == 0 or parts.path.strip("/"):
            raise UsageError(
                "The broker is given as host:port or mqtt://user:password@host:port, special characters"
                " percent-encoded."
            )
        return cls(host, port or _MQTT_PORT, unquote(parts.username or ""), unquote(parts.password or ""))
