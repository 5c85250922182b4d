"""Our COPY bytes and those that a real server gives for the same rows are the same, byte for byte."""

import io

import asyncpg
import numpy as np
import pytest

from gateway.domain.model import Block
from gateway.timescale.write import copy_format
from tests.builders.batches import NOON
from tests.builders.blocks import block, join
from tests.servers.databases import Database

CASES: dict[str, list[Block]] = {
    "nothing": [],
    "doubles": [block("d", 0, doubles=(0.5, -0.0, 5e-324, 1.7976931348623157e308))],
    "ints": [block("d", 0, ints=(2**63 - 1, -(2**63), 0, -1))],
    "texts": [block("d", 0, texts=("", "ü🌡️", "a'\"\\{},\n\t", "x" * 4096))],
    "all": [block("d", 0, doubles=(1.5,), ints=(2,), texts=("three",))],
    "many rows": [join(*(block("d", i, doubles=(i / 3,), texts=(str(i), "y" * i)) for i in range(300)))],
    "many widths": [
        block("d", w, doubles=(0.5,) * w, ints=(w,) * (w % 3), texts=("x",) * (w % 2)) for w in range(1, 60)
    ],
    "old": [block("d", -NOON, doubles=(0.5,))],
    "far": [block("d", 253_402_300_799_999_999 - NOON, ints=(1,))],
    "empty block": [block("d", 0, doubles=(1.5,)).take(np.array([], np.intp)), block("d", 1, texts=("x",))],
}


@pytest.mark.parametrize("numbered", [False, True], ids=["messages", "stage"])
@pytest.mark.parametrize("name", CASES)
async def test_the_server_would_have_written_the_same_bytes(plain_db: Database, name: str, numbered: bool) -> None:
    columns = copy_format.STAGED_COLUMNS if numbered else copy_format.COLUMNS
    ours = copy_format.encode(CASES[name], numbered=numbered)
    connection = await asyncpg.connect(plain_db.url)
    try:
        await connection.execute(
            "create temp table t (seq serial, n int4, time timestamptz, device_id int4, shape_id int4,"
            " values float8[], ints int8[], texts text[])"
        )
        await connection.copy_to_table("t", source=io.BytesIO(ours), columns=columns, format="binary")
        listed = ", ".join(f'"{column}"' for column in columns)
        theirs = io.BytesIO()
        await connection.copy_from_query(f"select {listed} from t order by seq", output=theirs, format="binary")
    finally:
        await connection.close()
    assert theirs.getvalue() == ours
