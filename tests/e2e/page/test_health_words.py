"""What the page says about each part of the gateway, well and unwell: in words, with a mark beside them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.chromium import Chromium
from tests.browser.tab import Tab
from tests.e2e.page.site import Site

WELL: dict[str, dict[str, Any]] = {
    "database": {"ok": True, "ground": "timescaledb-community", "postgres": "17.6 (Debian)", "timescaledb": "2.19.3"},
    "redis": {"ok": True, "behind_rows": 0, "complete": True, "rebuilding": False},
    "mqtt": {"ok": True, "consumes": True, "connected": True, "error": None},
    "queue": {"ok": True, "rows": 0, "bytes": 0, "in_hand_rows": 0, "stalled_secs": 0.0},
    "spool": {"ok": True, "rows": 0, "bytes": 0, "room_bytes": 2**30, "error": None},
}
NOTHING = {"queue_rows": 0, "queue_bytes": 0, "spool_rows": 0, "spool_bytes": 0}
NAMES = ["Database", "Redis", "MQTT", "Queue", "Spool"]
READ = """(view) => {
  const part = health();
  part.update(view);
  return [...part.node.querySelectorAll("li")].map(
    (row) => [row.querySelector("h3").textContent, row.dataset.mark, row.querySelector(".sentence").textContent]);
}"""


@pytest.fixture(scope="module")
def page(site: Site, browser: Chromium) -> Iterator[Tab]:
    with browser.tab() as tab:
        tab.go(site.url)
        yield tab


def rows(page: Tab, parts: dict[str, Any], **waiting: int) -> dict[str, tuple[str, str]]:
    """Name of a part → its mark and its sentence."""
    view = {"ready": True, "parts": parts, "waiting": NOTHING | waiting}
    read: list[tuple[str, str, str]] = page.run(
        f"import('/static/health.js').then(({{health}}) => ({READ})({json.dumps(view)}))"
    )
    assert [name for name, _, _ in read] == NAMES
    return {name: (mark, sentence) for name, mark, sentence in read}


def test_all_is_well(page: Tab) -> None:
    said = rows(page, WELL)
    assert {mark for mark, _ in said.values()} == {"good"}
    assert said["Database"][1] == "Commits. TimescaleDB 2.19.3 on PostgreSQL 17.6."
    assert said["Spool"][1] == "Empty; room for 1\u202fGiB in each worker."


@pytest.mark.parametrize(
    ("part", "facts", "waiting", "said"),
    [
        (
            "database",
            {"ok": False, "error": "database unavailable"},
            {},
            ("bad", "Database unavailable. Readings go to"),
        ),
        (
            "database",
            {"ok": True, "ground": "postgresql", "postgres": "18.0"},
            {},
            ("good", "without TimescaleDB 18.0"),
        ),
        ("redis", {"ok": False, "error": "no answer within 2.0 s", "complete": False}, {}, ("warn", "more slowly")),
        ("redis", {"ok": False, "rebuilding": True, "done": 5, "total": 9}, {}, ("warn", "rebuilt: 5 of 9 series.")),
        ("redis", {"ok": False, "rebuilding": False, "behind_rows": 1}, {}, ("warn", "1 message waits for it.")),
        ("mqtt", {"ok": True, "consumes": False}, {}, ("idle", "No broker is set")),
        ("mqtt", {"ok": False, "consumes": True, "error": "refused"}, {}, ("bad", "Refused. It connects again")),
        ("queue", {"ok": False, "stalled_secs": 42.0}, {}, ("bad", "for 42 s")),
        ("queue", WELL["queue"], {"queue_rows": 2, "queue_bytes": 2048}, ("good", "2 messages are on the way")),
        ("spool", {"ok": False, "room_bytes": 0}, {}, ("bad", "spool.max_bytes")),
        ("spool", WELL["spool"], {"spool_rows": 1, "spool_bytes": 512}, ("warn", "1 message waits on disk")),
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
