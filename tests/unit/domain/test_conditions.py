"""What is not well, in words: each part, well and unwell, and what is not known here."""

from typing import Any

import pytest

from gateway.domain.conditions import Found, find

MIB = 2**20
WELL: dict[str, dict[str, Any]] = {
    "database": {"ok": True},
    "redis": {"ok": True, "pending_rows": 0, "complete": True, "rebuilding": False},
    "mqtt": {"ok": True, "consumes": True, "connected": True, "error": None},
    "queue": {"ok": True, "rows": 0, "max_rows": 1000, "bytes": 0, "max_bytes": 1000, "stalled_secs": 0.0},
    "spool": {
        "ok": True,
        "rows": 0,
        "bytes": 0,
        "room_bytes": 1000 * MIB,
        "max_bytes": 1000 * MIB,
        "disk_bytes": 9000 * MIB,
        "oldest": None,
        "usable": True,
        "full_in_secs": None,
        "still_secs": 0.0,
        "error": None,
    },
}
WAITING = {"rows": 1210, "bytes": 12 * MIB, "oldest": "2026-11-22T12:03:20.123456Z"}


def said(**changes: dict[str, Any]) -> list[Found]:
    return find({name: facts | changes.get(name, {}) for name, facts in WELL.items()})


def test_nothing_is_said_while_all_is_well() -> None:
    assert said() == []
    assert said(mqtt={"consumes": False}, redis={"pending_rows": 9999}, queue={"rows": 799}) == []


def test_a_database_that_is_away_says_where_readings_are_and_how_long_there_is_room() -> None:
    away = {"ok": False, "error": "[Errno 111] Connect call failed."}
    [database, spool] = said(database=away, spool=WAITING | {"full_in_secs": 2450.0})
    assert (database.part, database.kind, spool.part, spool.kind) == ("database", "away", "spool", "waiting")
    assert database.what == (
        "The database takes no readings: Connect call failed. Readings are safe in the spool: 1,210 messages wait "
        "there, and there is room for about 40 minutes at the present rate (1,000 MiB). Start the database again, or "
        "see what 'gateway doctor' says of it; that it is well again is noticed by itself."
    )
    assert spool.what == (
        "1,210 messages wait on disk for the database (12 MiB, the oldest since 2026-11-22 12:03:20Z); what waits "
        "is stored by itself when that is back, oldest first."
    )


@pytest.mark.parametrize(
    ("part", "facts", "kind", "words"),
    [
        ("database", {"ok": False}, "away", "go to the spool meanwhile, which has room for 1,000 MiB."),
        ("redis", {"ok": False, "error": "no answer"}, "state", "Redis cannot be used: no answer. Readings are stored"),
        ("redis", {"ok": False, "rebuilding": True, "done": 5, "total": 9000}, "state", "(5 of 9,000 series)"),
        ("redis", {"ok": False, "complete": False}, "state", "not known to hold the whole newest state"),
        ("redis", {"ok": False, "pending_rows": 1}, "state", "Redis is behind: 1 message waits for it."),
        ("redis", {"pending_rows": 10_001}, "state", "Redis is behind: 10,001 messages wait for it."),
        ("redis", {"ok": False, "warning": "it evicts; set noeviction"}, "warned", "Redis: it evicts; set noeviction."),
        (
            "database",
            {"ok": False, "kind": "fault", "error": "denied"},
            "away",
            "refuses every write: denied. R",
        ),
        ("mqtt", {"ok": False, "connected": False, "error": "refused"}, "away", "MQTT broker: refused. What devices"),
        ("queue", {"ok": False, "stalled_secs": 42.5}, "stalled", "none became durable for 42 s."),
        ("queue", {"rows": 800}, "full", "The queue is 80% full"),
        ("queue", {"bytes": 990}, "full", "The queue is 99% full"),
        ("spool", {"ok": False, "room_bytes": 0}, "full", "The spool is full"),
        ("spool", {"room_bytes": 170 * MIB}, "full", "The spool is 83% full: it has room for 170 MiB."),
        ("spool", {"room_bytes": 99 * MIB, "disk_bytes": 99 * MIB}, "full", "The disk of the spool is nearly full"),
        ("spool", {"ok": False, "usable": False, "error": "read-only"}, "disk", "cannot be used: read-only."),
        ("spool", {"damaged": 1}, "damaged", "1 batch on disk cannot be read: readings that were acknowledged"),
        ("spool", WAITING, "waiting", "what waits is being stored now, oldest first. Until that is done history"),
        ("spool", WAITING | {"error": "it is broken."}, "waiting", "cannot be stored: it is broken. See the log"),
        ("spool", WAITING | {"still_secs": 90.0}, "waiting", "of which none has been stored for 90 s, though"),
    ],
)
def test_a_part_that_is_not_well_says_what_it_means(part: str, facts: dict[str, Any], kind: str, words: str) -> None:
    [found] = said(**{part: facts})
    assert (found.part, found.kind) == (part, kind)
    assert words in found.what


def test_a_part_that_knows_since_when_is_believed() -> None:
    [found] = said(database={"ok": False, "since": "2026-11-22T12:03:20.000000Z"})
    assert found.since == "2026-11-22T12:03:20.000000Z"


def test_without_any_place_for_readings_it_says_so() -> None:
    [database, spool] = said(database={"ok": False, "error": "away"}, spool={"ok": False, "room_bytes": 0})
    assert "they are refused (503)" in database.what
    assert "The spool is full" in spool.what


def test_nobody_tells_the_newest_state_while_both_are_away() -> None:
    redis = said(database={"ok": False}, redis={"ok": False, "error": "away"})[1]
    assert "The database cannot tell the newest state either" in redis.what


def test_a_part_that_is_not_known_here_is_said_by_its_error() -> None:
    found = find({"health": {"ok": False, "error": "no account within 3 s"}, "clock": {"ok": False}})
    assert [each.what for each in found] == ["Health is not well: no account within 3 s.", "Clock is not well."]
