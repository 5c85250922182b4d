"""Spool files that rotted, were torn or replaced: what can be read is, what cannot is kept and counted."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.errors import SpoolFault
from tests.builders.spooled import devices_in, execute, files, many, named, names, opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet" / "there"


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def get(path: Path) -> bytes:
    return path.read_bytes()


def garble(path: Path, page: int) -> None:
    """Overwrite a page (counted from 0) of a closed file."""
    with path.open("r+b") as file:
        file.seek(page * 8192)
        file.write(b"\xa5" * 8192)


async def test_damaged_records_are_set_aside_and_the_rest_comes(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(5))
    execute(
        folder / "w.db",
        "update records set content = zeroblob(length(content)) where id = 1",
        "update records set content = substr(content, 1, 40) where id = 4",
    )
    for _ in range(2):
        async with opened(folder) as spools:
            assert await devices_in(spools.own) == ["d1", "d2", "d4"]
            assert (spools.own.damaged, spools.own.rows) == (2, 60)
    with closing(sqlite3.connect(folder / "w.db")) as connection:
        kept = connection.execute("select id, messages, length(content), why from damaged").fetchall()
    assert [(number, messages, why) for number, messages, _, why in kept] == [
        (1, 20, "it does not begin like a record of version 1"),
        (4, 20, "its checksum does not match"),
    ]
    assert kept[1][2] == 40
    execute(folder / "w.db", "delete from damaged where id = 1")  # somebody has looked at it
    async with opened(folder) as spools:
        assert spools.own.damaged == 1


async def test_a_file_of_an_earlier_gateway_forgets_what_was_looked_at_too(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(2))
    execute(folder / "w.db", "drop trigger forgotten", "update records set content = x'00' where id = 1")
    async with opened(folder) as spools:
        assert await devices_in(spools.own) == ["d1"]
    execute(folder / "w.db", "delete from damaged")
    async with opened(folder) as spools:
        assert (spools.own.damaged, spools.own.rows) == (0, 20)


async def test_nothing_but_damaged_records_is_an_empty_spool(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(3))
    execute(folder / "w.db", "update records set content = x'00'")
    async with opened(folder) as spools:
        assert await spools.own.oldest(1) == []
        assert (spools.own.damaged, spools.own.rows, spools.own.oldest_us) == (3, 0, None)


async def test_damaged_pages_cost_only_what_was_on_them(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(300))
    pages = (folder / "w.db").stat().st_size // 8192
    garble(folder / "w.db", pages // 2)
    async with opened(folder) as spools:
        with pytest.raises(SpoolFault):
            await spools.own.oldest(10**9)
        found = await devices_in(spools.own)
        assert spools.own.rows == 20 * len(found)
        await spools.own.append([named("next")])
        assert await devices_in(spools.own) == [*found, "next"]
    assert 280 < len(found) < 300
    assert found == [name for name in names(300) if name in set(found)]
    assert (folder / "w.db.damaged-1").stat().st_size == pages * 8192


@pytest.mark.parametrize("content", [b"", b"no database" * 2000, b"SQLite format 3\0" + b"\0" * 20_000])
async def test_a_file_that_is_no_database_is_put_aside(folder: Path, content: bytes) -> None:
    put(folder / "w.db", content)
    async with opened(folder) as spools:
        await spools.own.append([named("d")])
        assert await devices_in(spools.own) == ["d"]
    assert list(files(folder, "*.damaged-1").values()) == [len(content)] * bool(content)


async def test_a_torn_write_ahead_log_costs_only_its_torn_end(folder: Path, tmp_path: Path) -> None:
    async with opened(folder) as spools:
        for one in many(20):
            await spools.own.append([one])
        copy = tmp_path / "copy"
        copy.mkdir()
        for suffix in ("", "-wal"):
            (copy / f"w.db{suffix}").write_bytes((folder / f"w.db{suffix}").read_bytes())
    log = copy / "w.db-wal"
    log.write_bytes(log.read_bytes()[:-9000])
    async with opened(copy) as spools:
        found = await devices_in(spools.own)
    assert found == names(len(found))
    assert 15 < len(found) < 20


@pytest.mark.parametrize("crash", ["while it is made", "before the old one is renamed", "before it is renamed"])
async def test_a_salvage_cut_short_is_finished_or_undone(folder: Path, crash: str) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(3))
    salvaged = get(folder / "w.db")
    async with opened(folder) as spools:
        await spools.own.append([named("stale")])
        log = get(folder / "w.db-wal")
    put(folder / "w.db", salvaged)
    fresh = folder / "w.db.new"
    if crash == "while it is made":
        fresh.write_bytes(b"half")
        put(folder / "w.db.new-wal", b"half")
    else:
        fresh.write_bytes(salvaged)
    if crash == "before it is renamed":
        (folder / "w.db").rename(folder / "w.db.damaged-1")
        put(folder / "w.db-wal", log)
    async with opened(folder) as spools:
        assert await devices_in(spools.own) == names(3)
    assert not files(folder, "*.new*")


async def test_a_file_of_a_newer_gateway_is_left_alone(folder: Path) -> None:
    async with opened(folder) as spools:
        await spools.own.append(many(3))
    execute(folder / "w.db", "pragma user_version = 2")
    before = (folder / "w.db").read_bytes()
    async with opened(folder) as spools:
        with pytest.raises(SpoolFault, match="format is 2"):
            await spools.own.append([named("d")])
    assert (folder / "w.db").read_bytes() == before
