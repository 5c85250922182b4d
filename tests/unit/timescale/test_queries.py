"""The named blocks of sql/queries, and which of the library's errors mean what."""

import re
import socket
import ssl
from pathlib import Path

import asyncpg
import pytest

from gateway.core.errors import SinkFault, SinkUnavailable, StartError
from gateway.timescale.connections.pool import Verdict, classify, translated
from gateway.timescale.queries import parse, query, read_all, sql_dir

PACKAGE = Path(__file__).resolve().parents[3] / "gateway"
CALL = re.compile(r"\bquery\(([^)]*?)(?:,[^)]*)?\)")
NAME = re.compile(r'"(\w+)"')
PART = re.compile(r"\{(\w+)\}")
PARTS = {"bucket", "chunk", "column", "direction", "source", "unshadowed", "within"}
"""What callers put into blocks."""


def test_every_block_is_used_and_every_use_has_a_block() -> None:
    text = read_all(sql_dir())
    blocks = set(parse(text))
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    called = {name for source in sources for call in CALL.findall(source) for name in NAME.findall(call)}
    assert blocks == called | set(PART.findall(text)) - PARTS


def test_blocks_put_in_are_whole_and_only_callers_parts_are_left() -> None:
    assert {part for block in parse(read_all(sql_dir())).values() for part in PART.findall(block)} == PARTS


def test_a_block_takes_in_the_blocks_above_it_and_the_callers_parts() -> None:
    blocks = parse("-- name: b\n{a} {b}\n-- name: a\n1\n-- name: c\nx{a}\n-- name: d\n{c} + {a} = '{}' {own};\n")
    assert blocks == {"b": "{a} {b}", "a": "1", "c": "x1", "d": "x1 + 1 = '{}' {own}"}
    assert "order by m.time desc\n" in query("history_rows", direction="desc")
    assert "{direction}" in query("history_rows")


def test_a_block_comes_without_comments_and_semicolon() -> None:
    blocks = parse(
        "-- File.\n-- name: one\n-- Why.\nselect 1 -- inline\nfrom t;\n\n-- Section\n\n-- name: two\nselect 2\n"
    )
    assert blocks == {"one": "select 1 -- inline\nfrom t", "two": "select 2"}


@pytest.mark.parametrize("text", ["-- name: a\nselect 1;\n-- name: a\nselect 2;", "-- name: a\n-- only words\n"])
def test_double_and_empty_blocks_are_refused(text: str) -> None:
    with pytest.raises(StartError, match="'a'"):
        parse(text)


def test_a_block_that_does_not_exist_is_named() -> None:
    with pytest.raises(StartError, match="no_such_block"):
        query("no_such_block")


def test_the_sql_is_found_in_a_checkout_and_in_an_installed_package(tmp_path: Path) -> None:
    package = tmp_path / "gateway"
    package.mkdir()
    with pytest.raises(StartError, match="missing"):
        sql_dir(package)
    for folder in (tmp_path / "sql", package / "_sql"):
        (folder / "queries").mkdir(parents=True)
        assert sql_dir(package) == folder


def error(state: str) -> asyncpg.PostgresError:
    made = asyncpg.PostgresError.new({"C": state, "M": "said", "S": "ERROR"})
    assert isinstance(made, asyncpg.PostgresError)
    return made


MEANINGS: list[tuple[BaseException, Verdict]] = [
    # connection, shutdown, start, failover
    (error("08006"), "transient"),
    (error("57P01"), "transient"),
    (error("57P03"), "transient"),
    (error("25006"), "transient"),
    (error("53300"), "transient"),
    # contention
    (error("40001"), "transient"),
    (error("40P01"), "transient"),
    (error("55P03"), "transient"),
    (error("57014"), "transient"),
    # an operator must act
    (error("53100"), "fault"),
    (error("42501"), "fault"),
    (error("42P01"), "fault"),
    (error("42703"), "fault"),
    (error("28P01"), "fault"),
    (error("3D000"), "fault"),
    (error("58030"), "fault"),
    (error("XX000"), "fault"),
    (error("ZZ999"), "fault"),
    # the row
    (error("22003"), "data"),
    (error("22021"), "data"),
    (error("23505"), "data"),
    (error("23514"), "data"),
    (error("54000"), "data"),
    # the client side
    (asyncpg.InvalidCachedStatementError("replan"), "transient"),
    (asyncpg.InterfaceError("connection is closed"), "transient"),
    (asyncpg.InternalClientError("odd"), "transient"),
    (asyncpg.DataError("invalid input for query argument"), "data"),
    (asyncpg.ClientConfigurationError("sslmode"), "fault"),
    (ConnectionRefusedError(), "transient"),
    (socket.gaierror(-2, "unknown"), "transient"),
    (TimeoutError(), "transient"),
    (ssl.SSLCertVerificationError("self-signed"), "fault"),
]


@pytest.mark.parametrize(("exc", "meaning"), MEANINGS, ids=lambda value: str(getattr(value, "sqlstate", "") or value))
def test_what_an_error_means(exc: BaseException, meaning: Verdict) -> None:
    assert classify(exc) == meaning


@pytest.mark.parametrize(("exc", "meaning"), MEANINGS, ids=lambda value: str(getattr(value, "sqlstate", "") or value))
async def test_errors_are_translated_and_keep_their_cause(exc: BaseException, meaning: Verdict) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- which one is what is asserted
        async with translated():
            raise exc
    if meaning == "data":
        assert caught.value is exc
    else:
        assert type(caught.value) is (SinkUnavailable if meaning == "transient" else SinkFault)
        assert caught.value.__cause__ is exc


async def test_a_database_without_the_schema_names_the_command_that_makes_it() -> None:
    with pytest.raises(SinkFault, match="gateway migrate"):
        async with translated():
            raise error("42P01")


async def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError):
        async with translated():
            raise ZeroDivisionError
