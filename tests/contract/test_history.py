"""Rows of history, on both grounds: types, order, pages, shapes that tell the same metric, and bounds."""

import asyncio
from contextlib import aclosing

import pytest

from gateway.core.errors import Overloaded, QueryTimeout, UnknownDevice
from gateway.core.settings import HistorySettings
from gateway.domain.history import HistoryRow, Order, RowPage, RowPosition
from gateway.domain.model import Value
from gateway.timescale.history.merge import CHUNK_ROWS
from tests.builders.batches import NOON, SECOND, Message
from tests.builders.past import DAY, HOUR, Past, open_past, row, span
from tests.integration.writing import SOON

WHOLE = span(-1000 * DAY, 1000 * DAY)
RUNNING = "select count(*) from pg_stat_activity where query like '/* given up%' and state = 'active'"


async def every_page(past: Past, *devices: str, limit: int, down: bool = False) -> list[HistoryRow]:
    """All rows, page by page; each but the last is full."""
    found: list[HistoryRow] = []
    after: RowPosition | None = None
    while True:
        page: RowPage = await past.history.page(devices, None, order=Order(WHOLE, down, after), limit=limit)
        found += page.rows
        if page.last is None:
            return found
        assert len(page.rows) == limit
        after = page.last


async def test_values_come_back_as_they_went_in(past: Past) -> None:
    values: dict[str, Value] = {
        "on": True,
        "off": False,
        "n": 2**63 - 1,
        "m": -(2**63),
        "t": "",
        "u": 'Kühl🌡️\n\\"x',
        "a": 0.1,
        "b": -0.0,
    }
    extremes: dict[str, Value] = {"a": 5e-324, "b": 1.7976931348623157e308}
    await past.store(("types", 1, values), ("types", 2, extremes))
    first, second = await past.rows("types", within=WHOLE)
    assert (first, second) == (row("types", 1, **values), row("types", 2, **extremes))
    assert {name: type(value) for name, value in first.values.items()} == {n: type(v) for n, v in values.items()}
    assert str(first.values["b"]) == "-0.0"


async def test_the_start_is_in_and_the_end_is_not(past: Past) -> None:
    messages: list[Message] = [("edge", after, {"a": float(after)}) for after in (9, 10, 11, 19, 20, 21)]
    await past.store(*messages)
    found = await past.rows("edge", within=span(10, 20))
    assert [one.values["a"] for one in found] == [10.0, 11.0, 19.0]
    assert await past.rows("edge", within=span(10, 10)) == []
    assert await past.rows("edge", within=span(12, 19)) == []


async def test_only_the_wanted_metrics(past: Past) -> None:
    await past.store(("wanted", 1, {"a": 1.0, "b": 2.0, "c": 3.0, "n": 4, "s": "x"}), ("wanted", 2, {"z": 1.0}))
    page = await past.history.page(["wanted"], ["c", "a", "n", "none"], order=Order(WHOLE), limit=10)
    assert page.rows == [row("wanted", 1, a=1.0, c=3.0, n=4)]
    assert (await past.history.page(["wanted"], ["none"], order=Order(WHOLE), limit=10)).rows == []


async def test_an_unknown_device_is_named(past: Past) -> None:
    await past.store(("known", 1, {"a": 1.0}))
    with pytest.raises(UnknownDevice, match="stranger"):
        await past.rows("known", "stranger", within=WHOLE)


async def test_the_older_shape_tells_a_metric_and_the_newer_one_the_rest(past: Past) -> None:
    await past.store(("twice", 1, {"a": 1.0, "b": 2.0}))
    await past.store(("twice", 1, {"a": 9.0, "c": 3.0}), ("twice", 2, {"a": 4.0, "c": 5.0}))
    await past.store(("twice", 1, {"a": 8.0}), ("twice", 3, {"a": "error"}))
    await past.store(("twice", 3, {"a": 7.0, "b": 6.0, "c": 5.0}))
    expected = [
        row("twice", 1, a=1.0, b=2.0),
        row("twice", 1, c=3.0),
        row("twice", 2, a=4.0, c=5.0),
        row("twice", 3, a="error"),
        row("twice", 3, a=7.0, b=6.0, c=5.0),
    ]
    assert await past.rows("twice", within=WHOLE) == expected
    for limit in (1, 2, 3):
        assert await every_page(past, "twice", limit=limit) == expected
    down = [expected[3], expected[4], expected[2], expected[0], expected[1]]
    for limit in (1, 2, 10):
        assert await every_page(past, "twice", limit=limit, down=True) == down


@pytest.mark.parametrize("limit", [1, 7, 100])
@pytest.mark.parametrize("down", [False, True])
async def test_pages_of_several_devices_hold_every_row_once_by_time(past: Past, limit: int, down: bool) -> None:
    messages: list[Message] = [(f"p{i % 3}", (i * 7919) % 1000 * HOUR, {f"m{i % 4}": i + 0.5}) for i in range(60)]
    await past.store(*messages)
    found = await every_page(past, "p2", "p0", "p1", limit=limit, down=down)
    assert sorted(found) == sorted(row(device, after, **values) for device, after, values in messages)
    times = [one.time_us for one in found]
    assert times == sorted(times, reverse=down)


@pytest.mark.parametrize("down", [False, True])
async def test_rows_that_arrive_meanwhile_neither_hide_nor_repeat_others(past: Past, down: bool) -> None:
    device = f"late-{down}"
    old: list[Message] = [(device, after * SECOND, {"a": float(after)}) for after in range(50)]
    await past.store(*old)
    found: list[HistoryRow] = []
    after: RowPosition | None = None
    for number in range(100):
        page = await past.history.page([device], None, order=Order(WHOLE, down, after), limit=3)
        found += page.rows
        if page.last is None:
            break
        after = page.last
        here = after.time_us - NOON
        neighbours: list[Message] = [(device, here + step, {"a": -1.0}) for step in (-1, 1)]
        await past.store(*neighbours, (device, here, {f"x{number}": 1}))
    seen = [one.values["a"] for one in found if one.values.get("a", -1.0) != -1.0]
    assert seen == sorted((values["a"] for _, _, values in old), reverse=down)
    assert len({(one.time_us, *one.values) for one in found}) == len(found)


async def test_a_stream_holds_all_rows_in_small_lists(past: Past) -> None:
    messages: list[Message] = [
        ("long", after * SECOND, {"a": float(after), "s": str(after)}) for after in range(12_000)
    ]
    messages += [("long2", after * 3 * SECOND, {"n": after}) for after in range(4000)]
    await past.store(*messages)
    found: list[HistoryRow] = []
    async with aclosing(past.history.stream(["long", "long2"], None, order=Order(WHOLE))) as lists:
        async for rows in lists:
            assert len(rows) <= CHUNK_ROWS
            found += rows
    assert found == sorted(
        (row(*message[:2], **message[2]) for message in messages), key=lambda one: (one.time_us, one.device)
    )


async def test_a_question_that_takes_too_long_is_ended_and_leaves_the_connection_usable(past_url: str) -> None:
    settings = HistorySettings(pool=1, timeout_secs=0.5, wait_secs=0.2)
    async with open_past(past_url, settings) as past:
        lending = past.history._leases
        with pytest.raises(QueryTimeout, match=r"0\.5 s \(history\.timeout_secs\)") as caught:
            async with lending.connection() as connection:
                await connection.execute("set local statement_timeout = '500ms'; select pg_sleep(20)")
        assert caught.value.details == {"limit": "history.timeout_secs", "value": 0.5}
        await past.store(("after", 1, {"a": 1.0}))
        assert await past.rows("after", within=WHOLE) == [row("after", 1, a=1.0)]


async def test_all_connections_taken_is_an_answer(past_url: str) -> None:
    async with open_past(past_url, HistorySettings(pool=1, wait_secs=0.05)) as past:
        await past.store(("taken", 1, {"a": 1.0}))
        async with past.history._leases.connection():
            with pytest.raises(Overloaded, match=r"history\.pool") as caught:
                await past.rows("taken", within=WHOLE)
        assert caught.value.details["limit"] == "history.pool"
        assert await past.rows("taken", within=WHOLE) == [row("taken", 1, a=1.0)]


async def test_who_gives_up_ends_the_query(past_url: str) -> None:
    async with open_past(past_url, HistorySettings(pool=1, wait_secs=5)) as past:

        async def ask() -> None:
            async with past.history._leases.connection() as connection:
                await connection.execute("/* given up */ select pg_sleep(60)")

        asking = asyncio.create_task(ask(), name="test.ask")
        await running(past, 1)
        asking.cancel()
        await asyncio.wait([asking], timeout=SOON)
        assert asking.cancelled()
        await running(past, 0)


async def running(past: Past, count: int) -> None:
    """Wait until so many of the queries that are given up run on the server."""
    async with past.gateway.pool.connection() as connection, asyncio.timeout(SOON):
        while await connection.fetchval(RUNNING) != count:  # noqa: ASYNC110 - the server's word, no event of ours
            await asyncio.sleep(0.02)
