"""The broker's address: `mqtt.url` and `mqtt.ca_file`, read. Reads only the CA file; never repeats a password."""

import ssl
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.core.errors import SettingsError

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_FORM = "mqtt://user:password@host:port or mqtts://…, with '%' codes for special characters"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is and how to get in."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @property
    def shown(self) -> str:
        """The address without its credentials, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_address(url: str, *, ca_file: str = "") -> Address:
    """Read the broker's URL; with mqtts:// the certificate and the host name are verified.

    Raises SettingsError for anything else, or if the CA file cannot be read.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its words may quote a part of the password
        raise SettingsError(f"mqtt.url is not a broker's address; give {_FORM}") from None
    if parts.scheme not in _PORTS or not parts.hostname or _has_more(parts):
        raise SettingsError(f"mqtt.url is not a broker's address; give {_FORM}")
    return Address(
        parts.hostname,
        port or _PORTS[parts.scheme],
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        _context(ca_file) if parts.scheme == "mqtts" else None,
    )


def _has_more(parts: SplitResult) -> bool:
    return bool(parts.path.strip("/") or parts.query or parts.fragment)


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as exc:
        raise SettingsError(f"mqtt.ca_file {ca_file!r} cannot be read: {exc}") from exc
