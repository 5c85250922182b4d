"""The servers of a database URL. In: the URL. Out: which it names, and the first that lets us in. Never retries.

A server that is frozen, black-holed or a standby must not hide the next: each is given a head start, not all the time
there is, and goes on meanwhile. The one that was good last comes first.
"""

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import asyncpg

from gateway.core.errors import GatewayError, SettingsError
from gateway.core.tasks import end

Direct: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DATABASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""Everything that talking to the database may raise."""

FORM = (
    "database.url cannot be read; its form is postgresql://user:password@host:port/database, several hosts with commas"
    " between them, special characters percent-encoded"
)
RACE_SHARE = 0.9
"""Share of the time to connect in which all servers are tried: whoever waits hears what became of each."""
DEFAULT_PORT = 5432
_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]*))(?::([0-9]+))?")
_WRITABLE = ("any", "primary", "read-write")
_NOT_TAKEN = {
    "connect_timeout": "database.connect_timeout_secs",
    **dict.fromkeys(("hostaddr", "load_balance_hosts"), "several hosts"),
    **dict.fromkeys(
        (
            *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
            *("sslcompression", "sslsni", "requiressl", "channel_binding", "gssencmode", "gssdelegation"),
            *("requirepeer", "require_auth", "replication", "fallback_application_name"),
        ),
        "",
    ),
}
"""What libpq takes and the library does not: it would ask the server for it, which refuses every connection."""


class ServerAddress(NamedTuple):
    """Where a server is: a name, an address or a socket's folder; None is where the library looks by itself."""

    host: str | None
    port: int | None

    def __str__(self) -> str:
        if self.host is None:
            return "this machine"
        return self.host if self.host.startswith("/") else f"{self.host}:{self.port}"


class HostList(NamedTuple):
    """What a URL says of its servers."""

    places: tuple[ServerAddress, ...]
    attribute: str
    """What a session must be, in libpq's words (target_session_attrs)."""
    keeps_names: bool
    """Whether a server's name must be kept: its certificate or the password file is looked up by it."""


class NoHost(ConnectionError):
    """None of several servers can be used; says what became of each."""

    def __init__(self, failures: Sequence[tuple[ServerAddress, BaseException]]) -> None:
        self.failures = [failure for _, failure in failures]
        reasons = "; ".join(f"{place}: {reason(failure)}" for place, failure in failures)
        super().__init__(f"none of the hosts of database.url can be used ({reasons})")


_last: dict[tuple[ServerAddress, ...], ServerAddress] = {}
"""The server of each list that was good last, for the whole process."""
_failovers = 0


def failovers() -> int:
    """Return how often another server became the good one: what is connected to the one before is not to be used."""
    return _failovers


def parse_hosts(url: str) -> HostList:
    """Read the servers of a URL, or of the environment where it names none. Raises SettingsError, never with its words.

    Stricter than the library where a password that is not percent-encoded would be taken for a host or a database.
    """
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
        if parts.scheme not in ("postgresql", "postgres") or parts.fragment or _is_torn(parts):
            raise SettingsError(FORM)
        places = _places(parts.netloc.rpartition("@")[2], query)
        _require_taken(query)
    except ValueError:  # its words may quote a part of the password
        raise SettingsError(FORM) from None
    return HostList(places, _attribute(query), _keeps_names(query, has_password=":" in parts.netloc.rpartition("@")[0]))


async def first(
    url: str, attempt: Callable[[ServerAddress, str | None], Awaitable[Direct]], *, timeout: float
) -> tuple[ServerAddress, Direct]:
    """Return a server that `attempt` succeeds at, and what it returns; `timeout` in seconds is for all together.

    `attempt` is given what a session must be: several servers are asked for the one that can be written to. Raises
    SettingsError, what `attempt` raises for the only server, NoHost for several.
    """
    listed = parse_hosts(url)
    async with asyncio.timeout(timeout):
        places = await resolved(listed)
        if len(places) == 1:
            return places[0], await attempt(places[0], None)
        attribute = "read-write" if listed.attribute == "any" else listed.attribute
        last = _last.get(listed.places)
        places.sort(key=lambda place: place != last)
        place, connection = await _race(places, lambda place: attempt(place, attribute), timeout=timeout * RACE_SHARE)
    _remember(listed.places, place)
    return place, connection


def _remember(places: tuple[ServerAddress, ...], good: ServerAddress) -> None:
    global _failovers  # noqa: PLW0603 -- as the servers themselves, it is there once for all pools
    if _last.get(places, good) != good:
        _failovers += 1
    _last[places] = good


async def resolved(listed: HostList) -> list[ServerAddress]:
    """Return a place for each address of each name: of several behind a name, each may be the one that is there.

    A name that cannot be resolved stays as it is, for the library to say so. Raises OSError if it is the only one.
    """
    found = await asyncio.gather(*(_addresses(place, listed) for place in listed.places))
    return list(dict.fromkeys(place for places in found for place in places))


def reason(exc: BaseException) -> str:
    """Say in a few words why a server cannot be used."""
    if isinstance(exc, asyncpg.TargetServerAttributeNotMatched):
        return "a standby, or read-only"
    if isinstance(exc, TimeoutError):
        return str(exc) or "no answer"
    why = exc.__cause__ if isinstance(exc, GatewayError) and exc.__cause__ else exc
    return (str(why) or type(why).__name__).splitlines()[0]


async def _race(
    places: Sequence[ServerAddress], attempt: Callable[[ServerAddress], Awaitable[Direct]], *, timeout: float
) -> tuple[ServerAddress, Direct]:
    """Try one after the other, each with a head start before the next; return the first that is good."""
    now = asyncio.get_running_loop().time
    ends, head_start = now() + timeout, timeout / len(places)
    waiting, running = list(places), dict[asyncio.Task[Direct], ServerAddress]()
    failures: list[tuple[ServerAddress, BaseException]] = []
    try:
        while (waiting or running) and now() < ends:
            if waiting:
                place = waiting.pop(0)
                running[asyncio.create_task(_awaited(attempt(place)), name=f"connect to {place}")] = place
            pause = min(head_start, ends - now()) if waiting else ends - now()
            done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in running if task in done]:
                if (failure := task.exception()) is None:
                    return running.pop(task), task.result()
                failures.append((running.pop(task), failure))
                if not _may_differ(failure):
                    raise failure
    finally:
        await _give_up(running)
    unanswered = [(place, TimeoutError()) for place in [*running.values(), *waiting]]
    raise NoHost(sorted([*failures, *unanswered], key=lambda one: places.index(one[0])))


def _may_differ(exc: BaseException) -> bool:
    """Say whether the next server may be better: what cannot be meant, and what is our mistake, is the same for all."""
    if isinstance(exc, SettingsError) or (isinstance(exc, ValueError) and not isinstance(exc, OSError)):
        return False
    return isinstance(exc, (*DATABASE_ERRORS, GatewayError))


async def _awaited(call: Awaitable[Direct]) -> Direct:
    return await call


async def _give_up(running: dict[asyncio.Task[Direct], ServerAddress]) -> None:
    await end(*running)
    for task in running:
        if not task.cancelled() and task.exception() is None:
            task.result().terminate()


async def _addresses(place: ServerAddress, listed: HostList) -> list[ServerAddress]:
    if place.host is None or place.host.startswith("/") or listed.keeps_names or _is_address(place.host):
        return [place]
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError:
        return [place]
    return [ServerAddress(str(address[0]), place.port) for *_, address in found]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_torn(parts: SplitResult) -> bool:
    """Say whether a character of the password has torn the URL: its rest would be shown as host or database."""
    if "@" in parts.netloc:
        return parts.netloc.count("@") > 1
    return "@" in parts.path or (":" in parts.netloc and "@" in parts.query)


def _places(spec: str, query: dict[str, str]) -> tuple[ServerAddress, ...]:
    """Return the servers as the library finds them: in the URL, in its query, in PGHOST."""
    ports = [int(port) for port in (query.get("port") or os.environ.get("PGPORT") or str(DEFAULT_PORT)).split(",")]
    if spec:
        return _split(unquote(spec), ports)
    if "service" in query and "host" not in query:
        return (ServerAddress(None, None),)  # a file of services is the library's to read
    listed = query.get("host") or os.environ.get("PGHOST")
    return _split(listed, ports) if listed else (ServerAddress(None, None),)


def _split(listed: str, ports: Sequence[int]) -> tuple[ServerAddress, ...]:
    """Pair hosts and ports. Raises ValueError for what is no list of them."""
    hosts = listed.split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError
    places = []
    for host, port in zip(hosts, ports if len(ports) > 1 else repeat(ports[0]), strict=False):
        if host.startswith("/"):
            places.append(ServerAddress(host, port))
            continue
        match = _HOST.fullmatch(host)
        if match is None or not (match[1] or match[2]):
            raise ValueError
        places.append(ServerAddress(match[1] or match[2], int(match[3] or port)))
    return tuple(places)


def _require_taken(query: dict[str, str]) -> None:
    for word in query.keys() & _NOT_TAKEN.keys():
        instead = f", use {_NOT_TAKEN[word]} instead" if _NOT_TAKEN[word] else ""
        raise SettingsError(f"database.url has {word}=, which is not taken here: leave it out{instead}")


def _attribute(query: dict[str, str]) -> str:
    attribute = query.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS") or "any"
    if attribute not in _WRITABLE:
        raise SettingsError(
            f"database.url asks for target_session_attrs={attribute}, but the gateway writes: say read-write, or leave"
            " it out"
        )
    return attribute


def _keeps_names(query: dict[str, str], *, has_password: bool) -> bool:
    if (query.get("sslmode") or os.environ.get("PGSSLMODE")) == "verify-full" or "krbsrvname" in query:
        return True
    if has_password or query.get("password") or os.environ.get("PGPASSWORD"):
        return False
    file = query.get("passfile") or os.environ.get("PGPASSFILE")
    return bool(file) or (Path.home() / ".pgpass").exists()
