"""What the page says about each part of the gateway, well and unwell: in words, with a mark beside them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.domain.conditions import find
from tests.browser.chromium import Chromium
from tests.browser.tab import Tab
from tests.e2e.page.site import Site

WELL: dict[str, dict[str, Any]] = {
    "database": {"ok": True, "kind": "timescaledb-community", "postgres": "17.6 (Debian)", "timescaledb": "2.19.3"},
    "redis": {"ok": True, "pending_rows": 0, "complete": True, "rebuilding": False},
    "mqtt": {"ok": True, "consumes": True, "connected": True, "error": None},
    "queue": {"ok": True, "rows": 0, "max_rows": 100, "bytes": 0, "committing_rows": 0, "stalled_secs": 0.0},
    "spool": {
        "ok": True,
        "rows": 0,
        "bytes": 0,
        "room_bytes": 2**30,
        "max_bytes": 2**30,
        "usable": True,
        "error": None,
    },
}
WAITING = {"rows": 1210, "bytes": 12 * 2**20, "room_bytes": 2**29, "oldest": "2026-11-22T12:03:20.123456Z"}
NOTHING = {"queue_rows": 0, "queue_bytes": 0, "spool_rows": 0, "spool_bytes": 0}
NAMES = ["Database", "Redis", "MQTT", "Queue", "Spool"]
SINCE = "2026-11-22T12:03:20.000000Z"
READ = """(view) => {
  const part = health();
  part.update(view);
  return [...part.node.querySelectorAll("li")].map((row) => [row.querySelector("h3").textContent, row.dataset.mark,
    row.querySelector(".mark-word").textContent, row.querySelector(".sentence").textContent]);
}"""
VERDICT = (
    "(view) => { const part = health(); part.update(view, %s); return part.node.querySelector('.verdict').innerText }"
)
BAR = """(view) => {
  const [node, heard] = [document.createElement("section"), document.createElement("p")];
  const bar = new TroubleBar(node, heard);
  const said = view.map((one) => {
    bar.update(one, Date.parse("2026-11-22T12:07:30Z"));
    return [node.hidden, node.dataset.mark ?? null, node.textContent, heard.textContent];
  });
  bar.lost(Date.parse("2026-11-22T12:07:20Z"), Date.parse("2026-11-22T12:07:30Z"));
  return [...said, [node.hidden, node.dataset.mark ?? null, node.textContent, heard.textContent]];
}"""


@pytest.fixture(scope="module")
def page(site: Site, browser: Chromium) -> Iterator[Tab]:
    with browser.tab() as tab:
        tab.zone("UTC")
        tab.go(site.url)
        yield tab


def view_of(parts: dict[str, Any], waiting: dict[str, int] | None = None, *, ready: bool = True) -> dict[str, Any]:
    """What /v1/fleet says of these parts."""
    degraded = [{"part": each.part, "what": each.what, "since": SINCE} for each in find(parts)]
    status = "unready" if not ready else "degraded" if degraded else "ready"
    return {
        "ready": ready,
        "status": status,
        "degraded": degraded,
        "parts": parts,
        "waiting": NOTHING | (waiting or {}),
    }


def rows(page: Tab, parts: dict[str, Any], **waiting: int) -> dict[str, tuple[str, str]]:
    """Name of a part → its mark and its sentence."""
    view = json.dumps(view_of(parts, waiting))
    read: list[tuple[str, str, str, str]] = page.run(
        f"import('/static/health.js').then(({{health}}) => ({READ})({view}))"
    )
    assert [name for name, *_ in read] == NAMES
    words = {"good": "Well", "idle": "Off", "warn": "Look", "bad": "Down"}
    assert [word for _, _, word, _ in read] == [words[mark] for _, mark, _, _ in read]
    return {name: (mark, sentence) for name, mark, _, sentence in read}


def test_all_is_well(page: Tab) -> None:
    said = rows(page, WELL)
    assert {mark for mark, _ in said.values()} == {"good"}
    assert said["Database"][1] == "Answers. TimescaleDB 2.19.3 on PostgreSQL 17.6."
    assert said["Spool"][1] == "Empty; room for 1\u202fGiB in each worker."


@pytest.mark.parametrize(
    ("part", "facts", "waiting", "said"),
    [
        (
            "database",
            {"ok": False, "error": "it is away"},
            {},
            ("bad", "takes no readings: it is away. Readings go to"),
        ),
        ("database", {"ok": True, "kind": "postgresql", "postgres": "18.0"}, {}, ("good", "PostgreSQL 18.0,")),
        ("redis", {"ok": False, "error": "no answer within 2.0 s"}, {}, ("warn", "more slowly. Start it again")),
        ("redis", {"ok": False, "rebuilding": True, "done": 5, "total": 9}, {}, ("warn", "(5 of 9 series)")),
        ("redis", {"ok": False, "rebuilding": False, "pending_rows": 1}, {}, ("warn", "1 message waits for it.")),
        ("mqtt", {"ok": True, "consumes": False}, {}, ("idle", "No broker is set")),
        ("mqtt", {"ok": False, "consumes": True, "error": "refused"}, {}, ("bad", "broker: refused. What devices")),
        ("queue", {"ok": False, "stalled_secs": 42.0}, {}, ("bad", "for 42 s")),
        ("queue", WELL["queue"] | {"rows": 99}, {}, ("warn", "99% full")),
        ("queue", WELL["queue"], {"queue_rows": 2, "queue_bytes": 2048}, ("good", "2 messages are on the way")),
        ("spool", {"ok": False, "room_bytes": 0, "max_bytes": 2**30}, {}, ("bad", "The spool is full")),
        ("spool", {"ok": False, "usable": False, "error": "read-only"}, {}, ("bad", "cannot be used: read-only.")),
        (
            "spool",
            WELL["spool"] | WAITING,
            {"spool_rows": 1210},
            ("warn", "1,210 messages wait on disk for the database (12 MiB, the oldest since 2026-11-22 12:03:20Z)"),
        ),
        ("spool", WELL["spool"] | WAITING, {"spool_rows": 1210}, ("warn", "1\u202fGiB: 50\u202f% full, room for 512")),
        (
            "spool",
            WELL["spool"] | WAITING,
            {"spool_rows": 3000},
            ("warn", "In all workers together 3,000 messages wait"),
        ),
        ("spool", WELL["spool"], {"spool_rows": 1, "spool_bytes": 512}, ("warn", "1 message waits on disk (512")),
    ],
)
def test_a_part_that_is_not_well_says_what_it_means(
    page: Tab, part: str, facts: dict[str, Any], waiting: dict[str, int], said: tuple[str, str]
) -> None:
    mark, sentence = rows(page, {**WELL, part: facts}, **waiting)[NAMES[list(WELL).index(part)]]
    assert (mark, said[1] in sentence) == (said[0], True), sentence


def test_a_worker_that_gives_no_account_is_no_blank_page(page: Tab) -> None:
    said = rows(page, {"health": {"ok": False, "error": "no account within 3 s"}})
    assert set(said.values()) == {("bad", "no account within 3 s")}


def test_no_green_word_stands_over_trouble(page: Tab) -> None:
    away = {**WELL, "database": {"ok": False, "error": "away"}}
    full = {**away, "spool": {"ok": False, "room_bytes": 0}}
    for view, lost, said in (
        (view_of(WELL), "null", "Ready: readings are taken in and made durable."),
        (view_of(away), "null", "Degraded: readings are taken in and made durable, but not all is well."),
        (view_of(full, ready=False), "null", "Not ready: send devices elsewhere"),
        (view_of(WELL), "Date.now()", "Not known: the gateway does not answer. What follows it said at"),
    ):
        script = f"import('/static/health.js').then(({{health}}) => ({VERDICT % lost})({json.dumps(view)}))"
        assert said in str(page.run(script))


def test_the_bar_names_what_and_since_when_and_is_read_out_when_that_changes(page: Tab) -> None:
    away = {**WELL, "database": {"ok": False, "error": "away"}, "spool": WELL["spool"] | WAITING}
    more = {**away, "spool": WELL["spool"] | WAITING | {"rows": 1300}}
    views = [view_of(one) for one in (WELL, away, more, WELL)]
    script = f"import('/static/trouble.js').then(({{TroubleBar}}) => ({BAR})({json.dumps(views)}))"
    well, first, second, again, lost = page.run(script)
    assert well == [True, "good", well[2], ""]
    hidden, mark, text, heard = first
    assert (hidden, mark, heard) == (False, "warn", second[3])
    assert text.startswith("Degraded since 12:03:20. Readings are taken in and made durable as ever")
    assert "Database since 12:03:20 (4 min) The database takes no readings: away." in text.replace("250 s", "4 min")
    assert "Spool since 12:03:20" in text
    assert heard.startswith("Degraded: Database, Spool.")
    assert "1,300 messages" in second[2]
    assert (again[0], again[3].startswith("Ready.")) == (True, True)
    assert (lost[0], lost[1], lost[3]) == (False, "bad", "No answer from the gateway since 12:07:20.")


def test_rates_that_are_no_longer_measured_are_from_then(page: Tab) -> None:
    ages = (5_000, 30_000, 30_001)
    views = [{"now": "1970-01-01T00:01:00Z", "history": {"ts": [60_000 - age]}} for age in ages]
    views.append({"now": "1970-01-01T00:01:00Z", "history": {"ts": []}})
    call = f"import('/static/overview.js').then(({{measuredLast}}) => {json.dumps(views)}.map(measuredLast))"
    assert page.run(call) == [None, None, 29_999, None]


@pytest.mark.parametrize(
    ("devices", "database", "said"),
    [
        (None, True, ("idle", "not counted yet")),
        ({"total": 3, "enabled": 3, "offline": 0}, True, ("good", "none offline")),
        ({"total": 1116, "enabled": 1116, "offline": 1114}, True, ("warn", "1,114 of 1,116 offline")),
        ({"total": 102, "enabled": 100, "offline": 9}, True, ("good", "9 of 100 offline, 2 disabled")),
        ({"total": 102, "enabled": 100, "offline": 10}, True, ("warn", "10 of 100 offline, 2 disabled")),
        ({"total": 0, "enabled": 0, "offline": 0}, True, ("idle", "none offline")),
        ({"total": 3, "enabled": 3, "offline": None}, True, ("idle", "not known how many are offline")),
        ({"total": 3, "enabled": 3, "offline": 0}, False, ("idle", "none offline, when they could be counted last")),
    ],
)
def test_devices_that_are_offline_are_counted(page: Tab, devices: Any, database: bool, said: tuple[str, str]) -> None:
    view = json.dumps({"devices": devices, "parts": {"database": {"ok": database}}})
    assert tuple(page.run(f"import('/static/overview.js').then(({{census}}) => census({view}))")) == said
