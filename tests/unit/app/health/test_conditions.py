"""What is not well: since when, and a line in the log at its beginning and its end, however often it is seen."""

import pytest
from structlog.testing import capture_logs

from gateway.app.health.conditions import CALM_SECS, SAY_SECS, Spells
from gateway.domain.conditions import Found
from gateway.telemetry import events
from gateway.telemetry.dedupe import Fold
from tests.fakes.clock import ManualClock

AWAY = Found("database", "away", "The database takes no readings.")
FULL = Found("spool", "full", "The spool is 83% full.")
START_US = 1_732_277_000_000_000
SINCE = "2024-11-22T12:03:20.000000Z"


class Scene:
    def __init__(self) -> None:
        self.clock = ManualClock(START_US)
        self.now = 0.0
        self.spells = Spells("w1", self.clock, monotonic=lambda: self.now)

    def look(self, *found: Found, after: float = 1.0) -> list[tuple[str, str, str]]:
        self.now += after
        self.clock.advance(after)
        return [(each.part, each.what, each.since) for each in self.spells.note(found)]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()
    monkeypatch.setattr(events, "_fold", Fold(1.0, clock=lambda: made.now))
    return made


def test_since_is_when_it_was_first_seen_whatever_is_said_of_it_later(scene: Scene) -> None:
    assert scene.look(AWAY, after=0.0) == [("database", AWAY.what, SINCE)]
    worse = AWAY._replace(what="It takes none still.")
    assert scene.look(worse, FULL) == [
        ("database", worse.what, SINCE),
        ("spool", FULL.what, "2024-11-22T12:03:21.000000Z"),
    ]
    assert scene.look() == []


def test_a_part_that_knows_since_when_is_believed(scene: Scene) -> None:
    assert scene.look(AWAY._replace(since="2024-11-22T11:00:00.000000Z")) == [
        ("database", AWAY.what, "2024-11-22T11:00:00.000000Z")
    ]


def test_what_two_looks_in_a_row_see_is_one_spell_however_late_the_second_comes(scene: Scene) -> None:
    with capture_logs() as lines:
        for after in (1.0, SAY_SECS, 3 * CALM_SECS, 1.0, 2 * CALM_SECS):
            assert scene.look(AWAY, after=after)[0][2] == "2024-11-22T12:03:21.000000Z"
    assert [line["name"] for line in lines] == ["degraded"]


def test_each_is_said_once_and_its_end_with_how_long_it_was(scene: Scene) -> None:
    with capture_logs() as lines:
        for _ in range(60):
            scene.look(AWAY)
        for _ in range(60):
            scene.look()
    assert [line["name"] for line in lines] == ["degraded", "well_again"]
    begun, over = lines
    assert (begun["part"], begun["what"], begun["since"]) == ("database", AWAY.what, "2024-11-22T12:03:21.000000Z")
    assert (over["part"], over["since"], over["secs"]) == ("database", begun["since"], 59.0)


def test_what_comes_and_goes_is_one_spell(scene: Scene) -> None:
    with capture_logs() as lines:
        first = scene.look(AWAY)
        for _ in range(100):
            scene.look(after=CALM_SECS / 2)
            assert scene.look(AWAY, after=CALM_SECS / 2) == first
    assert [line["name"] for line in lines] == ["degraded"]


def test_what_is_over_at_once_is_not_said(scene: Scene) -> None:
    with capture_logs() as lines:
        scene.look(AWAY)
        scene.look(AWAY, after=SAY_SECS / 2)
        scene.look(after=CALM_SECS * 2)
        assert scene.look(AWAY)[0][2] > SINCE
        scene.look(after=CALM_SECS * 2)
    assert lines == []
