"""The judge of a lossy failover: the state is what the database has, and every complaint is about what it has lost."""

from typing import Any

import pytest

from tests.chaos.gone import Left, Newest, Reading, Series, differences, shown, unexcused

A, B, C = (Series(f"press-{n}", "t") for n in range(3))
GONE = frozenset({Reading(A, 30), Reading(A, 20), Reading(B, 30)})
LEFT = Left({A: (10, 1.0), B: (40, 2.0), C: (40, True)}, GONE)
NONE = {"lost": 0, "state_wrong": 0, "stream_gaps": 0}


def problem(trouble: str, series: Series, time_us: int) -> dict[str, Any]:
    return {"trouble": trouble, "device": series.device, "metric": series.metric, "time_us": time_us}


def test_a_state_like_the_database_is_right() -> None:
    assert list(differences(LEFT.newest, dict(LEFT.newest))) == []


@pytest.mark.parametrize(
    "planted",
    [
        {A: (30, 1.0)},  # as it was sent: the database has it no more
        {A: (10, 1.5)},
        {A: (20, 1.0)},
        {C: (40, 1.0)},  # a number is no truth
        {Series("press-9", "t"): (10, 1.0)},
    ],
)
def test_a_state_that_is_anything_else_is_found(planted: Newest) -> None:
    (text,) = differences(LEFT.newest, LEFT.newest | planted)
    ((series, seen),) = planted.items()
    assert text.startswith(f"state {series.device} t: shows {seen}")


def test_a_series_that_is_not_shown_is_found() -> None:
    assert [text.split(":")[0] for text in differences(LEFT.newest, {B: (40, 2.0), C: (40, True)})] == [
        "state press-0 t"
    ]


def test_only_series_whose_newest_is_gone_are_set_back() -> None:
    assert LEFT.set_back == {A}


def test_complaints_about_what_is_gone_are_excused() -> None:
    problems = [problem("lost", B, 30), problem("state wrong", A, 30), problem("state wrong", A, 20)]
    problems += [problem("stream gap", A, 30)]
    assert unexcused(LEFT, {"lost": 3, "state_wrong": 1, "stream_gaps": 1}, problems) == []


def test_a_complaint_about_anything_else_is_not() -> None:
    problems = [problem("lost", C, 40), problem("state wrong", B, 40), problem("wrong", C, 40)]
    problems += [problem("stream gap", B, 40)]
    assert [text.split(",")[0] for text in unexcused(LEFT, NONE, problems)] == [
        "lost press-2 t",
        "state wrong press-1 t",
        "stream gap press-1 t",
    ]


@pytest.mark.parametrize("counts", [{"lost": 4}, {"state_wrong": 2}, {"stream_gaps": 2}])
def test_more_complaints_than_the_loss_explains_are_not_excused(counts: dict[str, int]) -> None:
    assert len(unexcused(LEFT, NONE | counts, [])) == 1


def test_what_is_shown_is_read_as_the_database_says_it() -> None:
    entry = {"ts": "1970-01-01T00:00:00.000010Z", "value": 1, "kind": "double"}
    asked = []

    def ask(names: Any) -> dict[str, Any]:
        asked.append(names)
        return {A.device: {"t": entry}}

    found = shown(ask, [A.device])
    assert asked == [[A.device]]
    assert list(differences({A: (10, 1.0)}, found)) == []
