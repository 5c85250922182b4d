"""A gateway's own table grown to so many rows: old messages of a device of ours, as wide as those that are measured.

They are inserted on the server, behind the gateway's back, at times before all that is sent; nothing else is touched.
"""

from collections.abc import Callable
from contextlib import suppress

import asyncpg

from simulator.core.errors import Unreachable
from simulator.measure.bench.database import connect
from simulator.verify.database import LOST

_AT_ONCE = 1_000_000
"""Rows of one statement."""
_STEP_US = 10_000_000
"""Between two messages of a device."""
_ANY = """
select shape_id from messages where cardinality(values) = $1 limit 1
"""
_INSERT = """
insert into messages (time, device_id, shape_id, values)
select to_timestamp($1::float8 / 1e6) - (i / 1000) * interval '1 microsecond' * $2::float8,
       -1 - (i % 1000)::int4, $3, array(select random() * 100 from generate_series(1, $4))
from generate_series($5::int8, $6::int8 - 1) as i
"""


class Filling:
    """What was inserted so far."""

    def __init__(self, url: str, *, before_us: int, say: Callable[[str], None]) -> None:
        self._url = url
        self._before_us = before_us
        self._say = say
        self._rows = 0

    async def reach(self, rows: int, *, width: int) -> None:
        """Insert until there are so many. Raises Unreachable."""
        if rows <= self._rows:
            return
        connection = await connect(self._url)
        try:
            shape = await connection.fetchval(_ANY, width)
            if shape is None:
                raise Unreachable(f"The table holds no message of {width} values yet: nothing to fill it with.")
            while self._rows < rows:
                upto = min(rows, self._rows + _AT_ONCE)
                await connection.execute(
                    _INSERT, self._before_us, _STEP_US, shape, width, self._rows, upto, timeout=600
                )
                self._rows = upto
                self._say(f"  the table is filled: {upto:,} of {rows:,} rows")
            with suppress(asyncpg.InsufficientPrivilegeError):  # then its writing falls into what is measured
                await connection.execute("checkpoint", timeout=600)
        except LOST as error:
            raise Unreachable(f"The database was lost while it was filled: {error}.") from error
        finally:
            connection.terminate()
