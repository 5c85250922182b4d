"""Connections to a gateway's database: its URL in, a connection out, of several servers to the one that can be written.

They are tried one after the other, each with its share of the time: one that is frozen hides no other. What is read
back from a standby would come late, and a reading that is merely late must not be called lost.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote

import asyncpg

from simulator.core.addresses import split
from simulator.core.errors import Unreachable, UsageError

LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What talking to a server may raise."""
_FORM = (
    "The database is given as postgresql://user:password@host:port/database, several hosts with commas between them,"
    " special characters percent-encoded."
)
_PORT = "5432"
_HOST = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>/.*|[^:\[\]]+?))(?::(?P<port>[0-9]+))?")


async def connect(url: str, *, timeout: float, command_timeout: float) -> "asyncpg.Connection[asyncpg.Record]":
    """Open a connection; both times in seconds. Raises UsageError, and Unreachable; neither repeats the URL."""
    servers, said = list(_servers(url)), list[str]()
    several: dict[str, Any] = {"target_session_attrs": "read-write"} if len(servers) > 1 else {}
    for host, port in servers:
        try:
            return await asyncpg.connect(
                url, host=host, port=port, timeout=timeout / len(servers), command_timeout=command_timeout, **several
            )
        except asyncpg.TargetServerAttributeNotMatched:
            said.append(f"{host}:{port} is a standby, or read-only" if several else "it is not of the kind asked for")
        except LOST as error:
            if isinstance(error, ValueError) and not isinstance(error, OSError):
                raise UsageError(_FORM) from None
            said.append(f"{host}:{port}: {str(error) or 'no answer'}" if several else str(error) or "no answer")
        except ValueError:  # its words may quote a part of the password
            raise UsageError(_FORM) from None
    raise Unreachable(f"The database does not answer: {'; '.join(said)}.")


def _servers(url: str) -> Iterator[tuple[str | None, int | None]]:
    """Yield host and port of each server, as the URL or the environment says; None is for the library to find."""
    parts = split(url, with_query=True)
    if parts is None or parts.scheme not in ("postgresql", "postgres") or parts.netloc.count("@") > 1:
        raise UsageError(_FORM)
    query = parse_qs(parts.query)
    listed = unquote(parts.netloc.rpartition("@")[2]) or query.get("host", [os.environ.get("PGHOST", "")])[-1]
    ports = query.get("port", [os.environ.get("PGPORT") or _PORT])[-1].split(",")
    hosts = listed.split(",")
    if not listed:
        yield None, None
        return
    if len(ports) not in (1, len(hosts)):
        raise UsageError(_FORM)
    for host, port in zip(hosts, ports * len(hosts), strict=False):
        match = _HOST.fullmatch(host)
        if match is None or not port.isdecimal():
            raise UsageError(_FORM)
        yield match["v6"] or match["name"], int(match["port"] or port)


@contextmanager
def unless_lost(sentence: str) -> Iterator[None]:
    """Turn what talking to a server may raise into Unreachable, with this sentence."""
    try:
        yield
    except LOST as error:
        raise Unreachable(f"{sentence}: {error}.") from error


async def let_go(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Close a connection; never fails."""
    try:
        await connection.close(timeout=5)
    except LOST:
        connection.terminate()
