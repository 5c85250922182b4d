"""A peer and what proxies say about it in, the address that a caller is known by out. Believes only proxies it knows.

An address is an IPv4 address or an IPv6 /64, which is what one household or host gets and may pick addresses from.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.core.errors import SettingsError

MAX_HOPS = 32
"""Proxies in a row that are looked at."""
MAX_FORWARDED = 1024
"""Characters of the header that are looked at, from its right."""
CACHED = 4096
"""Answers that are kept."""
_HOST = re.compile(r'"?(?:\[([^\]]+)\]|([^:\s"]+)|([0-9A-Fa-f:.]+))(?::\d+)?"?')
"""An address as both headers have it: bare, with a port, or in brackets."""
_FOR = re.compile(r'(?:^|;)\s*for=("[^"]*"|[^;\s]*)', re.IGNORECASE)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


class Addresses:
    """Tells what address a request comes from."""

    def __init__(self, proxies: str = "", *, header: str = "x-forwarded-for") -> None:
        """Raise SettingsError if `proxies` (http.proxies) cannot be read."""
        self.header = header
        self.believes = _to_networks(proxies)
        """The proxies."""
        self._resolve = lru_cache(CACHED)(self._walk)

    def of(self, peer: str, forwarded: Sequence[str] = ()) -> str:
        """Return the caller's address; `forwarded` are the values of the header, in order.

        The hops are read from the right, as each proxy appends the one it was called by: the first that is no proxy of
        ours is the caller, and whatever stands left of it the caller may have made up.
        """
        return self._resolve(peer, ",".join(forwarded)[-MAX_FORWARDED:] if forwarded else "")

    def is_believed(self, peer: str) -> bool:
        """Whether a peer is one of the proxies."""
        address = _to_address(peer) if self.believes else None
        return address is not None and self._is_proxy(address)

    def _walk(self, peer: str, forwarded: str) -> str:
        address = _to_address(peer)
        if address is None:
            return peer
        hops = forwarded.split(",")[-MAX_HOPS:] if forwarded else []
        while hops and self._is_proxy(address):
            earlier = _to_address(self._host(hops.pop()))
            if earlier is None:  # a proxy that does not tell: the last one that is known answers for it
                break
            address = earlier
        return _to_key(address)

    def _is_proxy(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self.believes)

    def _host(self, hop: str) -> str:
        if self.header == "forwarded":  # RFC 7239
            found = _FOR.search(hop.strip())
            hop = found[1] if found else ""
        found = _HOST.fullmatch(hop.strip())
        return next(filter(None, found.groups()), "") if found else ""


def _to_networks(text: str) -> list[Network]:
    try:
        return [ip_network(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError as exc:
        raise SettingsError(
            f"http.proxies cannot be read: {exc}; give addresses or networks such as 10.0.0.0/8, 192.168.1.7"
        ) from None


def _to_address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _to_key(address: Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
