"""docs/security.md against the code: bounds are where it says, alerts exist, attacks of the table are named."""

import re

import pytest

from gateway.core.settings import Settings
from gateway.core.settings_file import describe
from tests.docs.pages import ROOT, text_of
from tests.hostile import attacks  # noqa: F401 - fills the table
from tests.hostile.attack import TABLE, Who

PAGE = text_of("docs/security.md")
SECTIONS: dict[Who, str] = {
    "stranger": "A stranger",
    "device token": "A device token",
    "ingest key": "An ingest key",
    "reader": "A reader",
    "neighbour": "A neighbour on the broker",
}
COLUMNS = ("takes", "at most", "bound", "where", "seen as")
_WORD = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(\.\./([^)]+)\)")


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(heading: str) -> list[list[str]]:
    lines = [line.strip("| ") for line in section(heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split(" | ")] for line in (f"{line} " for line in lines)]


BOUNDS = [(heading, row) for heading in SECTIONS.values() for row in rows(heading)[2:]]


@pytest.mark.parametrize("heading", SECTIONS.values())
def test_each_consumer_has_a_table(heading: str) -> None:
    assert tuple(rows(heading)[0]) == COLUMNS
    assert len(rows(heading)) > 3


@pytest.mark.parametrize(("heading", "row"), BOUNDS, ids=lambda part: part if isinstance(part, str) else part[0])
def test_each_bound_is_a_setting_or_stands_in_its_file(heading: str, row: list[str]) -> None:
    settings = {one.path for one in describe(Settings())}
    assert row[1], heading
    bounds, files = _WORD.findall(row[2]), _LINK.findall(row[3])
    assert bounds
    assert files
    text = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    for bound in bounds:
        if "." in bound:
            assert bound in settings
        else:
            assert re.search(rf"^(?:[A-Z_, ]+, )?{bound}(?:, [A-Z_]+)*(?:: \w+)? = ", text, re.MULTILINE), bound


def test_each_alert_is_one() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", text_of("deploy/prometheus/alerts.yml")))
    named = set(re.findall(r"\bGateway[A-Z]\w+", PAGE))
    assert named
    assert named <= alerts


@pytest.mark.parametrize("who", SECTIONS)
def test_each_attack_is_named_where_it_comes_from(who: Who) -> None:
    said = section(SECTIONS[who]).split("Attacks: ")[1]
    assert sorted(_WORD.findall(said)) == sorted(name for name, one in TABLE.items() if one.who == who)


def test_the_table_of_attacks_is_by_family_and_says_what_each_does() -> None:
    assert {one.who for one in TABLE.values()} == set(SECTIONS)
    assert all(len(one.does) > 20 and one.rss_mib > 0 and one.share > 0 for one in TABLE.values())
