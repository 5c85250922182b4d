"""What a failover has taken from the database, reading by reading, and whether the state shows what is left.

In: databases, and what a gateway shows. Out: readings, and what is wrong. Only reads.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import httpx

from simulator.core.times import to_us
from simulator.verify.audit import is_same
from simulator.verify.states import MAX_DEVICES, States

ASK_SECS = 10.0
READ_SECS = 60.0
ROWS = 10_000
"""Read at once."""
_READINGS = """
select device, metric, kind, (extract(epoch from time) * 1000000)::int8, value, int_value, text_value
from readings where time >= to_timestamp($1::float8)
    and device = any (select name from devices where created_at >= to_timestamp($2::float8))
"""
AGE_SECS = 600.0
"""Readings are not sent so long after they were measured."""
EXCUSED = frozenset({"lost", "state wrong", "stream gap"})
"""Troubles that a reading which was taken from the database may be the reason of."""
Value = float | int | str | bool
Ask = Callable[[Sequence[str]], States]
"""Names of devices → what the gateway shows of them."""


class Series(NamedTuple):
    """A metric of a device."""

    device: str
    metric: str


class Reading(NamedTuple):
    """One value of a series, by its time."""

    series: Series
    time_us: int


Newest = dict[Series, tuple[int, Value]]
"""Of each series the time (µs) and the value."""


class Left(NamedTuple):
    """What is left in the database."""

    newest: Newest
    gone: frozenset[Reading]
    """Of the readings that were taken from it, those that did not come again."""

    @property
    def set_back(self) -> set[Series]:
        """The series of which a newer reading was there once."""
        return {each.series for each in self.gone if each.time_us > self.newest.get(each.series, (0, 0))[0]}


async def taken(old: str, new: str, *, since: float) -> set[Reading]:
    """Return the readings, not older than `since` (seconds since 1970), that one database has and another has not."""
    there = {reading async for reading, _ in _readings(new, since)}
    return {reading async for reading, _ in _readings(old, since) if reading not in there}


async def left(url: str, gone: Collection[Reading], *, since: float) -> Left:
    """Return what is stored of devices made since then, and which of the readings that were taken are still missing."""
    newest, missing = Newest(), set(gone)
    async for reading, value in _readings(url, since - AGE_SECS, born=since):
        missing.discard(reading)
        if reading.time_us > newest.get(reading.series, (-1, 0))[0]:
            newest[reading.series] = reading.time_us, value
    return Left(newest, frozenset(missing))


def shown(ask: Ask, devices: Collection[str]) -> Newest:
    """Return what the state shows of these devices."""
    names, found = sorted(devices), Newest()
    for at in range(0, len(names), MAX_DEVICES):
        for device, metrics in ask(names[at : at + MAX_DEVICES]).items():
            for metric, entry in metrics.items():
                found[Series(device, metric)] = to_us(entry["ts"]) or 0, entry["value"]
    return found


def asking(client: httpx.Client, key: str) -> Ask:
    """Return what asks a gateway with this key; it raises httpx.HTTPError."""
    headers = {"Authorization": f"Bearer {key}"}

    def ask(names: Sequence[str]) -> States:
        answer = client.post("/v1/states:query", json={"devices": names}, headers=headers, timeout=ASK_SECS)
        states = answer.raise_for_status().json()["states"]
        return {name: state["metrics"] for name, state in states.items() if state}

    return ask


def differences(stored: Newest, state: Newest) -> Iterator[str]:
    """Yield each series that the state does not show as the database has it."""
    for series in sorted(stored.keys() | state.keys()):
        there, seen = stored.get(series), state.get(series)
        if there is None or seen is None or there[0] != seen[0] or not is_same(seen[1], there[1]):
            yield f"state {series.device} {series.metric}: shows {seen}, the database has {there}"


def unexcused(left_over: Left, counts: Mapping[str, int], problems: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the simulator complains of that is not explained by the readings that are gone.

    It counts all that is missing in the database, in the state and in the stream, which begins anew with the state that
    is left, and names the first of each.
    """
    wrong = [
        f"{each['trouble']} {each['device']} {each['metric']}, of a reading that was not taken from the database"
        for each in problems
        if each["trouble"] in EXCUSED
        and Reading(Series(each["device"], each["metric"]), each["time_us"]) not in left_over.gone
    ]
    set_back = len(left_over.set_back)
    for name, most in (("lost", len(left_over.gone)), ("state_wrong", set_back), ("stream_gaps", set_back)):
        if counts[name] > most:
            wrong.append(f"{counts[name]:,} {name}, but only {most:,} can be from what the database has lost")
    return wrong


async def _readings(url: str, since: float, *, born: float = 0) -> AsyncIterator[tuple[Reading, Value]]:
    connection = await asyncpg.connect(url, timeout=ASK_SECS, command_timeout=READ_SECS)
    try:
        async with connection.transaction(readonly=True):
            async for device, metric, kind, time_us, *values in connection.cursor(
                _READINGS, since, born, prefetch=ROWS
            ):
                (value,) = [each for each in values if each is not None]
                yield Reading(Series(device, metric), time_us), bool(value) if kind == "bool" else value
    finally:
        await connection.close(timeout=ASK_SECS)
