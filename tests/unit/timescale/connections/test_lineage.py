"""Where connections lead to: what is forgotten, who is refused, and what is remembered of it; servers are scripted."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.errors import SinkFault, SinkUnavailable, StateUnavailable
from gateway.domain.timelines import Watermark
from gateway.timescale.connections.lineage import Lineage, OldPrimary
from gateway.timescale.connections.timelines import FILE, WatermarkFile
from gateway.timescale.queries import query

BOOT = datetime(2026, 1, 1, tzinfo=UTC)
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Scripted:
    """A connection to a server that says this of itself."""

    def __init__(
        self,
        timeline: int = 1,
        *,
        boots: int = 0,
        log: int = 1000,
        system: str = "7001",
        installation: str | None = ID,
        tables: int = 16,
        standby: bool = False,
        silent: bool = False,
    ) -> None:
        self._silent = silent
        row = {"standby": standby, "started": BOOT + timedelta(hours=boots), "database": 5, "tables": tables}
        position = {"segment": f"{timeline:08X}0000000000000001", "flushed": log, "inserted": log}
        self._rows: Mapping[str, Any] = {
            query("server"): row | {"has_installation": installation is not None},
            query("server_position"): position,
            query("server_whole"): row | position | {"installation": installation, "system": system},
        }
        self._values = {query("installation"): installation, query("server_system"): system}

    async def fetchrow(self, text: str, /) -> Any:
        self._may(text)
        return self._rows[text]

    async def fetchval(self, text: str, /) -> Any:
        self._may(text)
        return self._values[text]

    def _may(self, text: str) -> None:
        if text == query("server_whole") and self._values[query("installation")] is None:
            raise asyncpg.UndefinedTableError
        if self._silent and text in (query("server_whole"), query("server_system"), query("server_position")):
            raise asyncpg.InsufficientPrivilegeError


class Kept:
    """Marks in memory, for as long as the test lives; away when it is told so."""

    def __init__(self) -> None:
        self.marks: dict[str, Watermark] = {}
        self.away = False

    async def merge(self, key: str, mark: Watermark) -> Watermark:
        if self.away:
            raise StateUnavailable
        self.marks[key] = max(mark, self.marks.get(key, Watermark()))
        return self.marks[key]


class Watched(Lineage):
    """Counts what it tells."""

    def __init__(self, *stores: Kept | WatermarkFile) -> None:
        super().__init__(*stores)
        self.forgotten = 0
        self.sites: list[str] = []
        self.on_change.append(self._count)
        self.on_move.append(lambda: self.sites.append(self.site))

    def _count(self) -> None:
        self.forgotten += 1


async def test_the_first_server_is_taken_and_named_and_another_look_changes_nothing() -> None:
    lineage = Watched()
    await lineage.check(Scripted())
    await lineage.check(Scripted(log=2000))
    assert (lineage.epoch, lineage.forgotten, len(lineage.sites)) == (0, 0, 1)
    assert lineage.site.startswith(ID[:8])


@pytest.mark.parametrize(
    ("then", "moves"),
    [
        (Scripted(2), True),
        (Scripted(system="7002"), True),
        (Scripted(installation=ID[::-1]), True),
        (Scripted(log=999), True),
        (Scripted(boots=1, log=999), True),
        (Scripted(boots=1), False),
        (Scripted(tables=17), False),
    ],
    ids=[
        "promoted",
        "other cluster",
        "other database",
        "memory put back",
        "files put back",
        "restarted",
        "loaded anew",
    ],
)
async def test_whatever_may_have_changed_what_ids_mean_is_a_new_epoch(then: Scripted, moves: bool) -> None:
    """And what was derived from another line of history is not read again: the site's name is another one."""
    lineage = Watched(Kept())
    await lineage.check(Scripted())
    await lineage.check(then)
    assert (lineage.epoch, lineage.forgotten, len(set(lineage.sites))) == (1, 1, 1 + moves)


async def test_a_server_that_tells_little_is_compared_by_what_it_tells() -> None:
    lineage = Watched()
    await lineage.check(Scripted(silent=True))
    await lineage.check(Scripted(silent=True))
    assert lineage.epoch == 0
    await lineage.check(Scripted(boots=1, silent=True))
    assert lineage.epoch == 1


async def test_a_standby_is_no_server_to_compare_with_and_what_it_said_is_forgotten() -> None:
    lineage = Watched()
    await lineage.check(Scripted(standby=True))
    assert (lineage.server, lineage.site) == (None, "")
    await lineage.check(Scripted())
    assert lineage.epoch == 1
    await lineage.check(Scripted(standby=True, boots=5))
    await lineage.check(Scripted())
    assert lineage.epoch == 1


async def test_an_old_primary_is_refused_by_whoever_remembers_and_told_in_words() -> None:
    kept = Kept()
    first = Watched(kept)
    await first.check(Scripted(3))
    await first.check(Scripted(4))
    for lineage in (first, Watched(kept)):
        with pytest.raises(SinkUnavailable) as refused:
            await lineage.check(Scripted(3))
        assert isinstance(refused.value.__cause__, OldPrimary)
        assert re.search(r"timeline 3, but timeline 4 .* 'gateway database accept'", str(refused.value.__cause__))
    assert first.server is not None
    assert first.server.timeline == 4
    await Watched(Kept()).check(Scripted(3))  # who knows of nothing better takes it
    await Watched(kept).check(Scripted(3, system="7002"))  # another cluster: its timelines are its own


async def test_open_connections_to_an_old_primary_end_when_the_new_one_is_heard_of() -> None:
    kept = Kept()
    here, there = Watched(kept), Watched(kept)
    await here.check(Scripted(1))
    await here.share()
    assert here.epoch == 0
    await there.check(Scripted(2))
    await here.share()
    assert (here.epoch, here.forgotten, here.server, here.site) == (1, 1, None, "")
    with pytest.raises(SinkUnavailable):
        await here.check(Scripted(1))
    await here.check(Scripted(2))
    assert here.site == there.site


async def test_what_another_gateway_has_seen_is_known_after_redis_was_away() -> None:
    kept = Kept()
    kept.away = True
    lineage = Watched(kept)
    await lineage.check(Scripted(2))
    assert kept.marks == {}
    kept.away = False
    await lineage.share()
    assert kept.marks["7001"].timeline == 2


async def test_a_gateway_that_was_stopped_while_files_were_put_back_hears_it_from_the_others() -> None:
    kept = Kept()
    first = Watched(kept)
    await first.check(Scripted(log=5000))
    await first.share()
    late = Watched(kept)
    await late.check(Scripted(boots=1, log=4000))
    assert late.site != first.site
    await first.share()
    assert first.site == late.site  # and nobody reads the state of before


async def test_a_log_that_has_grown_meanwhile_is_not_put_back() -> None:
    """Two looks at once: the one that asked first is heard last."""
    lineage, slow = Watched(), Scripted(log=1000)
    await lineage.check(Scripted(log=900))
    asked, go = asyncio.Event(), asyncio.Event()
    answer = slow.fetchrow

    async def late(text: str, /) -> Any:
        row = await answer(text)
        asked.set()
        await go.wait()
        return row

    slow.fetchrow = late  # type: ignore[method-assign]
    look = asyncio.create_task(lineage.check(slow))
    await asked.wait()
    await lineage.check(Scripted(log=2000))
    go.set()
    await look
    assert (lineage.epoch, len(lineage.sites)) == (0, 1)


async def test_an_operator_has_the_last_word() -> None:
    kept = Kept()
    running = Watched(kept)
    await running.check(Scripted(4))
    with pytest.raises(SinkFault, match="standby"):
        await Lineage(kept).accept(Scripted(3, standby=True))
    assert (await Lineage(kept).accept(Scripted(3))).timeline == 3
    await running.share()
    await running.check(Scripted(3))
    assert running.server is not None
    assert running.server.timeline == 3
    await running.check(Scripted(4))  # and a later one is believed again, as ever


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2**40)), max_size=8))
def test_marks_on_disk_only_grow_and_survive(writes: list[tuple[str, int]]) -> None:
    async def check(folder: Path) -> None:
        highest: dict[str, int] = {}
        for key, value in writes:
            highest[key] = max(value, highest.get(key, 0))
            assert await WatermarkFile(folder).merge(key, Watermark(value)) == Watermark(highest[key])
        assert json.loads((folder / FILE).read_text()) == highest if writes else not (folder / FILE).exists()

    import tempfile  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(check(Path(folder)))


async def test_marks_of_many_processes_do_not_undo_each_other(tmp_path: Path) -> None:
    await asyncio.gather(*(WatermarkFile(tmp_path).merge(f"c{i % 3}", Watermark(i + 1)) for i in range(30)))
    kept = [await WatermarkFile(tmp_path).merge(f"c{i}", Watermark()) for i in range(3)]
    assert kept == [Watermark(28), Watermark(29), Watermark(30)]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"c": "x"}', b"\xff"])
async def test_a_file_that_is_not_ours_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert await WatermarkFile(tmp_path).merge("c", Watermark(7)) == Watermark(7)
    assert await WatermarkFile(tmp_path).merge("c", Watermark()) == Watermark(7)


async def test_no_folder_is_made_for_it(tmp_path: Path) -> None:
    assert await WatermarkFile(tmp_path / "spool").merge("c", Watermark(7)) == Watermark(7)
    assert not (tmp_path / "spool").exists()
