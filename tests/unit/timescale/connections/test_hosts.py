"""Which servers a database URL names, and that none is hidden by another. The race itself runs against nothing real."""

import asyncio
import contextlib
import os
import urllib.parse
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import SettingsError, SinkFault
from gateway.timescale.connections import hosts
from gateway.timescale.connections.hosts import NoHost, ServerAddress, parse_hosts
from gateway.timescale.connections.pool import classify


@pytest.fixture(autouse=True)
def _no_words_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)


def places(url: str) -> list[tuple[str | None, int | None]]:
    return [(place.host, place.port) for place in parse_hosts(url).places]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@a/d", [("a", 5432)]),
        ("postgres://a:1,b:2/d", [("a", 1), ("b", 2)]),
        ("postgresql://u:p@a:1,b,c:3/d", [("a", 1), ("b", 5432), ("c", 3)]),
        ("postgresql://[::1]:1/d", [("::1", 1)]),
        ("postgresql://u@/d?host=a,b&port=1,2", [("a", 1), ("b", 2)]),
        ("postgresql:///d?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("postgresql:///d?host=a:1,b:2", [("a", 1), ("b", 2)]),
        ("postgresql://u@/d?host=/run/x,/run/y&port=5433", [("/run/x", 5433), ("/run/y", 5433)]),
        ("postgresql://u@%2Frun%2Fx/d", [("/run/x", 5432)]),
        ("postgresql://u@/d", [(None, None)]),
        ("postgresql://", [(None, None)]),
    ],
)
def test_the_servers_of_a_url(url: str, expected: list[tuple[str | None, int | None]]) -> None:
    assert places(url) == expected


def test_the_servers_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b:2")
    monkeypatch.setenv("PGPORT", "9")
    assert places("postgresql://u:p@/d") == [("a", 9), ("b", 2)]
    assert places("postgresql://u:p@c/d") == [("c", 9)]
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with pytest.raises(SettingsError, match="target_session_attrs=standby, but the gateway writes"):
        parse_hosts("postgresql://c/d")


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://a/d",
        "postgresql://a,,b/d",
        "postgresql://a:x/d",
        "postgresql:///d?host=a,b,c&port=1,2",
        "postgresql://a/d?port",
        "postgresql://u:secret/x@h/d",
        "postgresql://u:12/secret@h/d",
        "postgresql://u:12#secret@h/d",
        "postgresql://u:12?secret=1@h/d",
        "postgresql://u:p@secret@h/d",
        "postgresql://u:se[cret@h/d",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_its_words(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_hosts(url)
    assert "cannot be read; its form is postgresql://" in caught.value.message
    assert "secret" not in caught.value.message
    assert caught.value.__cause__ is None


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12), st.booleans())
def test_no_password_is_taken_for_a_place(password: str, escaped: bool) -> None:
    """Escaped it is a password; as it is, it is one, too, or the URL is refused."""
    shown = urllib.parse.quote(password, safe="") if escaped else password
    with contextlib.suppress(SettingsError):
        assert places(f"postgresql://u:{shown}@h:1/d") == [("h", 1)]
        return
    assert not escaped


@pytest.mark.parametrize("attribute", ["standby", "prefer-standby", "read-only", "nonsense"])
def test_a_session_that_cannot_write_is_refused_with_the_word_to_use(attribute: str) -> None:
    with pytest.raises(SettingsError, match="say read-write, or leave it out"):
        parse_hosts(f"postgresql://a,b/d?target_session_attrs={attribute}")


@pytest.mark.parametrize(
    ("word", "instead"),
    [("connect_timeout", "use database.connect_timeout_secs instead"), ("keepalives", "leave it out")],
)
def test_what_the_library_would_ask_the_server_for_is_refused(word: str, instead: str) -> None:
    with pytest.raises(SettingsError, match=f"has {word}=, which is not taken here: .*{instead}"):
        parse_hosts(f"postgresql://a/d?{word}=1")
    parse_hosts("postgresql://a/d?application_name=x&search_path=y")


class Connection:
    """Nothing but something to end."""

    def __init__(self) -> None:
        self.ended = False

    def terminate(self) -> None:
        self.ended = True


LETS_IN, SILENT = "lets in", "silent"


class Servers:
    """What each server does: raise an error, let in, be silent, or let in when another is tried, too."""

    def __init__(self, **does: Exception | str) -> None:
        self.does = does
        self.tried: list[str] = []
        self.opened: dict[str, Connection] = {}

    async def attempt(self, place: ServerAddress, wants: str | None) -> Any:
        host = str(place.host)
        self.tried.append(host)
        self.wants = wants
        act = self.does[host]
        if isinstance(act, Exception):
            raise act
        while act != LETS_IN and act not in self.tried:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        self.opened[host] = Connection()
        return self.opened[host]

    async def first(self, *, timeout: float = 5.0) -> str:
        url = "postgresql://u:p@" + ",".join(self.does) + "/d"
        place, _ = await hosts.first(url, self.attempt, timeout=timeout)
        return str(place.host)


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_last", {})

    async def nowhere(place: ServerAddress, _: Any) -> list[ServerAddress]:
        return [place]

    monkeypatch.setattr(hosts, "_addresses", nowhere)


async def test_a_silent_server_hides_nobody_and_is_tried_last_from_then_on() -> None:
    servers = Servers(a=SILENT, b=LETS_IN)
    assert await servers.first(timeout=0.2) == "b"
    servers.tried.clear()
    assert await servers.first() == "b"
    assert servers.tried == ["b"]
    servers.does |= {"a": LETS_IN, "b": ConnectionRefusedError()}
    assert await servers.first() == "a"


async def test_one_that_refuses_costs_no_time() -> None:
    servers = Servers(a=ConnectionRefusedError(), b=asyncpg.TargetServerAttributeNotMatched(), c=LETS_IN)
    assert await servers.first(timeout=1e5) == "c"
    assert servers.wants == "read-write"


async def test_a_slow_server_goes_on_while_the_next_is_tried() -> None:
    servers = Servers(a="b", b=SILENT)
    assert await servers.first(timeout=0.5) == "a"
    assert servers.tried == ["a", "b"]


async def test_of_two_that_let_in_at_once_one_is_left_to_nobody() -> None:
    servers = Servers(a="b", b=LETS_IN)
    good = await servers.first(timeout=0.1)
    assert [host for host, one in servers.opened.items() if not one.ended] == [good]


async def test_what_became_of_each_is_said_in_their_order() -> None:
    servers = Servers(
        a=SILENT, b=asyncpg.TargetServerAttributeNotMatched("x"), c=ConnectionRefusedError(111, "refused")
    )
    with pytest.raises(NoHost) as caught:
        await servers.first(timeout=1.0)
    assert str(caught.value).endswith(
        "(a:5432: no answer; b:5432: a standby, or read-only; c:5432: [Errno 111] refused)"
    )
    assert classify(caught.value) == "transient"


async def test_a_fault_at_all_is_a_fault() -> None:
    servers = Servers(a=asyncpg.InvalidPasswordError("wrong"), b=SinkFault("not ours"))
    with pytest.raises(NoHost) as caught:
        await servers.first()
    assert classify(caught.value) == "fault"


@pytest.mark.parametrize("mistake", [asyncpg.ClientConfigurationError("x"), SettingsError("x"), KeyError("x")])
async def test_what_is_the_same_for_all_is_said_at_once(mistake: Exception) -> None:
    servers = Servers(a=mistake, b=LETS_IN)
    with pytest.raises(type(mistake)):
        await servers.first()
    assert servers.tried == ["a"]


async def test_only_one_server_is_asked_for_nothing_and_its_own_error_passes() -> None:
    servers = Servers(a=LETS_IN)
    assert await servers.first() == "a"
    assert servers.wants is None
    servers.does["a"] = asyncpg.CannotConnectNowError("starting up")
    with pytest.raises(asyncpg.CannotConnectNowError):
        await servers.first()


async def test_whoever_gives_up_leaves_nothing_open() -> None:
    servers = Servers(a=SILENT, b=SILENT)
    waiting = asyncio.create_task(servers.first(timeout=0.02))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("connect to")]
