"""The plan of a question about one series: it steps into the index by device, however many devices there are."""

import asyncpg
import pytest

from gateway.timescale.queries import query
from tests.servers.databases import Database

DEVICE = 7
FILL = """
insert into devices (name) select 'd' || n from generate_series(1, 40) n;
insert into metrics (name, kind) values ('m', 'bool'), ('n', 'double');
insert into shapes (value_metrics, int_metrics, text_metrics) values ('{1}', '{}', '{}'), ('{1,2}', '{}', '{}');
insert into device_shapes select d.id, s.id from devices d, shapes s;
insert into messages
select '2026-03-01Z'::timestamptz + n * interval '5 minutes' + d * interval '1 second', d, s, '{1,2}', null, null
from generate_series(0, 287) n, generate_series(1, 40) d, generate_series(1, 2) s;
analyze;
set plan_cache_mode = force_custom_plan;
"""


@pytest.mark.parametrize("older", [None, "{1}"], ids=["alone", "shadowed"])
async def test_the_changes_of_a_series_are_found_by_the_index(database: Database, older: str | None) -> None:
    statement = query(
        "history_changes", column="values", unshadowed=query("unshadowed_messages" if older else "every_message")
    )
    connection = await asyncpg.connect(database.url)
    try:
        await connection.execute(FILL)
        span = await connection.fetchrow("select min(time), max(time) from messages")
        assert span is not None
        places = [[0, 0], [DEVICE, DEVICE], [1, 2], [1, 1], [None, older]]
        plan = [row[0] for row in await connection.fetch(f"explain {statement}", *places, *span, 1001)]
    finally:
        await connection.close()
    assert not [line for line in plan if "Seq Scan" in line]
    assert [line for line in plan if "Index Cond" in line and f"device_id = {DEVICE}" in line]
