"""Facts of a Redis or Valkey server: its answer to INFO in, what it is and what it does when its memory is full out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

UNKNOWN = "unknown"


class RedisServer(NamedTuple):
    """What a server is."""

    name: str
    """With its version."""
    policy: str
    """maxmemory-policy: what it does when its memory is full."""
    evicted_keys: int
    """Since it started, of anybody's."""
    maxmemory: int = 0
    """Bytes that it may have; 0: no bound."""

    @property
    def evicts(self) -> bool:
        """Whether it may drop the newest state of devices. Under volatile-... it drops only what has a time to live.

        Of ours these are the answers to idempotency keys, the log of live changes and the progress of a rebuild.
        """
        return self.policy.startswith("allkeys")


def server_of(info: Mapping[str, Any]) -> RedisServer:
    """Return what a server says of itself in INFO."""
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("valkey_version") or info.get("redis_version", "?")
    policy = str(info.get("maxmemory_policy", UNKNOWN))
    return RedisServer(f"{name} {version}", policy, int(info.get("evicted_keys", 0)), int(info.get("maxmemory", 0)))
