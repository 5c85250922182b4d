"""Conditions: what is not well, from the facts of the parts, in an operator's words, with the way out. Pure.

A part may be well and still be named: a spool that is being emptied, a queue that is nearly full.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

Facts = Mapping[str, object]
Parts = Mapping[str, Facts]

NAMES = {"mqtt": "MQTT"}
NEARLY_FULL = 0.8
"""From this share of a limit on it is said."""
BEHIND_ROWS = 10_000
"""Newest messages that Redis may lack before it is said: a call takes as many."""
STILL_SECS = 30.0
"""A spool from which nothing leaves for so long, though the database answers, is not being emptied."""
_KIB, _MIB = 2**10, 2**20
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
"""What Python puts before an error of the system."""


class Found(NamedTuple):
    """Something that is not well."""

    part: str
    kind: str
    """What tells it from the part's other troubles; its words may change while it lasts."""
    what: str
    since: str | None = None
    """RFC 3339, where the part knows better than who looks at it now and then."""


def find(parts: Parts) -> list[Found]:
    """Return all that is not well, in the order of the parts. Whatever is not known here is said by its error."""
    found: list[Found] = []
    for name, facts in parts.items():
        said = [*_SAYERS[name](parts)] if name in _SAYERS else []
        if warning := facts.get("warning"):  # a part's own words
            said.append(Found(name, "warned", f"{NAMES.get(name, name.capitalize())}: {_ended(warning)}"))
        if not said and not facts["ok"]:
            said = [Found(name, "unwell", f"{NAMES.get(name, name.capitalize())} is not well{_because(facts)}.")]
        found += said
    return found


def share(used: object, limit: object) -> float:
    """Return how much of a limit is used, 0 to 1 and more; 0 where either is not known."""
    return used / limit if isinstance(used, int | float) and isinstance(limit, int | float) and limit > 0 else 0.0


def _database(parts: Parts) -> Iterator[Found]:
    facts = parts["database"]
    if not facts["ok"]:
        since = facts.get("since")
        way_out = "see what 'gateway doctor' says of it; that it is well again is noticed by itself."
        yield Found(
            "database",
            "away",
            f"The database {'refuses every write' if facts.get('kind') == 'fault' else 'takes no readings'}"
            f"{_because(facts)}. {_meanwhile(parts.get('spool', {}))} "
            f"{'Mend that' if facts.get('kind') == 'fault' else 'Start the database again'}, or {way_out}",
            since if isinstance(since, str) else None,
        )


def _meanwhile(spool: Facts) -> str:
    """Say where readings go while the database is away."""
    if not spool.get("ok"):
        return "The spool takes none either: they are refused (503), and senders must keep them."
    room = _size(spool.get("room_bytes"))
    secs = spool.get("full_in_secs")
    lasts = (
        f"for about {_lasting(secs)} at the present rate ({room})" if isinstance(secs, int | float) else f"for {room}"
    )
    if waiting := _number(spool.get("rows")):
        return f"Readings are safe in the spool: {_messages(waiting)} there, and there is room {lasts}."
    return f"Readings go to the spool meanwhile, which has room {lasts}."


def _redis(parts: Parts) -> Iterator[Found]:
    facts = parts["redis"]
    stored = "Readings are stored as ever; the newest state comes from the database, more slowly"
    if _is_away(parts):
        stored = "The database cannot tell the newest state either"
    behind = _number(facts.get("pending_rows"))
    if facts.get("error"):
        yield Found(
            "redis",
            "state",
            f"Redis cannot be used{_because(facts)}. {stored}. Start it again: it is filled by itself.",
        )
    elif facts.get("rebuilding"):
        done, total = _number(facts.get("done")), _number(facts.get("total"))
        far = f" ({done:,} of {total:,} series)" if total else ""
        yield Found("redis", "state", f"The newest state is being rebuilt in Redis{far}. {stored}, until that is done.")
    elif facts.get("complete") is False:
        yield Found(
            "redis", "state", f"Redis is not known to hold the whole newest state. {stored}, until it has been rebuilt."
        )
    elif behind > (BEHIND_ROWS if facts["ok"] else 0):
        yield Found(
            "redis",
            "state",
            f"Redis is behind: {_messages(behind)} for it. Readings are stored as ever; what shows the newest state "
            "shows it late. See whether Redis is busy or out of memory.",
        )


def _mqtt(parts: Parts) -> Iterator[Found]:
    facts = parts["mqtt"]
    if not facts["ok"]:
        yield Found(
            "mqtt",
            "away",
            f"There is no connection to the MQTT broker{_because(facts)}. What devices publish waits there, or with "
            "them; HTTP works. It connects again by itself: see whether the broker runs, and mqtt.url.",
        )


def _queue(parts: Parts) -> Iterator[Found]:
    facts = parts["queue"]
    still = facts.get("stalled_secs")
    if isinstance(still, int | float) and still > 0:
        yield Found(
            "queue",
            "stalled",
            f"Readings came in and none became durable for {_lasting(still)}. See the log, the database and the disk "
            "of the spool.",
        )
    full = max(share(facts.get("rows"), facts.get("max_rows")), share(facts.get("bytes"), facts.get("max_bytes")))
    if full >= NEARLY_FULL:
        yield Found(
            "queue",
            "full",
            f"The queue is {full:.0%} full: readings come faster than the database takes them. Once it is full, "
            "requests are answered 503; docs/operations.md says what to do when it is too slow.",
        )


def _spool(parts: Parts) -> Iterator[Found]:
    facts = parts["spool"]
    rows, room, limit = (_number(facts.get(name)) for name in ("rows", "room_bytes", "max_bytes"))
    if facts.get("usable") is False:
        yield Found(
            "spool",
            "disk",
            f"The disk of the spool cannot be used{_because(facts)}. While the database is away readings would be "
            "refused (503): see spool.dir, its disk and its owner.",
        )
    elif not facts["ok"]:
        yield Found(
            "spool",
            "full",
            "The spool is full: while the database is away readings are refused (503), and none is dropped. "
            "Bring the database back, free its disk, or raise spool.max_bytes.",
        )
    elif share(limit - room, limit) >= NEARLY_FULL:
        disk = facts.get("disk_bytes") == room
        full = "The disk of the spool is nearly full" if disk else f"The spool is {share(limit - room, limit):.0%} full"
        yield Found(
            "spool",
            "full",
            f"{full}: it has room for {_size(room)}. Beyond that readings are refused (503) while the database is "
            f"away. Bring the database back, {'free some disk' if disk else 'or raise spool.max_bytes'}.",
        )
    if damaged := _number(facts.get("damaged")):
        yield Found(
            "spool",
            "damaged",
            f"{damaged:,} {'batch' if damaged == 1 else 'batches'} on disk cannot be read: readings that were "
            "acknowledged are missing in the database. See the disk; 'gateway spool status' names the file that keeps "
            "them, in its table damaged. Whoever has looked at them deletes them there, while the gateway is stopped.",
        )
    if rows:
        yield Found("spool", "waiting", _waiting(facts, rows, away=_is_away(parts)))


def _waiting(facts: Facts, rows: int, *, away: bool) -> str:
    oldest = f", the oldest since {_clock(facts['oldest'])}" if facts.get("oldest") else ""
    waits = f"{_messages(rows)} on disk for the database ({_size(facts.get('bytes'))}{oldest})"
    still = facts.get("still_secs")
    if away:
        return f"{waits}; what waits is stored by itself when that is back, oldest first."
    if facts.get("error"):
        return f"{waits}, which cannot be stored{_because(facts)}. See the log; it is tried again and again."
    if isinstance(still, int | float) and still >= STILL_SECS:
        return (
            f"{waits}, of which none has been stored for {_lasting(still)}, though the database answers. See the log, "
            "what the database is busy with, and 'gateway spool status'."
        )
    return f"{waits}; what waits is being stored now, oldest first. Until that is done history lacks it."


_SAYERS: dict[str, Callable[[Parts], Iterator[Found]]] = {
    "database": _database,
    "redis": _redis,
    "mqtt": _mqtt,
    "queue": _queue,
    "spool": _spool,
}


def _is_away(parts: Parts) -> bool:
    return "database" in parts and not parts["database"]["ok"]


def _because(facts: Facts) -> str:
    error = _NUMBER.sub("", str(facts.get("error") or "")).strip().rstrip(".")
    return f": {error}" if error else ""


def _ended(words: object) -> str:
    return str(words).rstrip(".") + "."


def _messages(count: int) -> str:
    return f"{count:,} {'message waits' if count == 1 else 'messages wait'}"


def _number(given: object) -> int:
    return given if isinstance(given, int) else 0


def _size(given: object) -> str:
    number = _number(given)
    if number < _MIB:
        return f"{max(0, number) / _KIB:,.0f} KiB"
    return f"{number / _MIB:,.0f} MiB" if number >= 10 * _MIB else f"{number / _MIB:,.1f} MiB"


def _lasting(secs: float) -> str:
    """Return a time as a person says it; rounded down, since it is often a promise."""
    for unit, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if secs >= 2 * unit:
            return f"{int(secs // unit):,} {name}"
    return f"{int(secs)} s"


def _clock(moment: object) -> str:
    """`2026-11-22T12:03:20.123456Z` → `2026-11-22 12:03:20Z`."""
    return str(moment)[:19].replace("T", " ") + "Z"
