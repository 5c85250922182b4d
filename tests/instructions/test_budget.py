"""The budget's verdicts, on figures of our own making: what is dearer is found on every interpreter, and named."""

from collections import Counter
from pathlib import Path

import pytest

from tests.instructions import budget, callgrind
from tests.instructions.budget import Build, Ceilings, Cost, Measured, Work
from tests.instructions.tracing import Tracer, c_name

HERE, ELSEWHERE = "CPython 3.11.7 (here)", "CPython 3.11.2 (elsewhere)"
BEFORE = Work(1000, 50, {"a.py f": 100.0, "b.py g": 40.0}, {"builtins.len": 8.0})
DUMP = """\
# callgrind format
version: 1
desc: Trigger: Client Request: W1
positions: line
events: Ir

ob=(1) /usr/lib/libpython3.11.so
fl=(1) ceval.c
fn=(1) eval
10 700
cfn=(2) dict_get
cob=(2) /usr/lib/libc.so.6
calls=3 20
+4 99
+1 50

ob=(2)
fn=(3) memcpy'2
* 30
"""


def stored() -> Ceilings:
    builds = {
        HERE: Build(1_000_000, {"W1": Cost(300_000, {"python": 250_000})}),
        ELSEWHERE: Build(800_000, {"W1": Cost(270_000, {"python": 220_000})}),
    }
    return Ceilings(builds, {"3.11": {"W1": BEFORE}})


def measured(total: int, work: Work = BEFORE, *, name: str = HERE, yardstick: int = 1_000_000) -> Measured:
    return Measured(name, "3.11", Build(yardstick, {"W1": Cost(total, {"python": total - 50_000})}), {"W1": work})


@pytest.mark.parametrize(("total", "dearer"), [(300_000, False), (308_900, False), (309_100, True), (200_000, False)])
def test_a_known_build_is_held_to_three_per_cent(total: int, dearer: bool) -> None:
    (verdict,) = budget.compare(stored(), measured(total))
    assert verdict.is_dearer is dearer
    assert verdict.is_cheaper is (total == 200_000)
    assert f"{total:,}" in verdict.figure


def test_what_grew_is_named_the_most_first() -> None:
    now = Work(1200, 52, {"a.py f": 130.0, "b.py g": 40.0, "c.py h": 170.0}, {"builtins.len": 8.0, "sha256": 1.0})
    (verdict,) = budget.compare(stored(), measured(350_000, now))
    assert list(verdict.grown) == [
        "c.py h: 0 → 170 bytecodes a request",
        "a.py f: 100 → 130 bytecodes a request",
        "sha256: 0 → 1 calls a request",
        "python: 250,000 → 300,000 instructions a request",
    ]


@pytest.mark.parametrize(
    "other", [{"name": "CPython 3.11.9 (unheard of)"}, {"yardstick": 1_100_000}], ids=["unknown", "not what it says"]
)
@pytest.mark.parametrize(
    ("total", "work", "dearer"),
    [
        (300_000, BEFORE, False),
        (340_000, BEFORE, False),  # the build may be dearer as a whole
        (300_000, Work(1029, 50, {}, {}), False),
        (300_000, Work(1031, 50, {}, {}), True),
        (300_000, Work(1000, 52, {}, {}), True),
        (450_000, BEFORE, True),  # something in C
    ],
)
def test_on_another_build_python_is_held_to_three_per_cent_and_c_to_a_wide_bound(
    other: dict[str, object], total: int, work: Work, dearer: bool
) -> None:
    (verdict,) = budget.compare(stored(), measured(total, work, **other))  # type: ignore[arg-type]
    assert verdict.is_dearer is dearer, verdict


@pytest.mark.parametrize(("opcodes", "dearer"), [(1000, False), (1031, True)])
def test_without_valgrind_python_is_judged_all_the_same(opcodes: float, dearer: bool) -> None:
    (verdict,) = budget.compare(stored(), Measured(HERE, "3.11", None, {"W1": Work(opcodes, 50, {}, {})}))
    assert verdict.is_dearer is dearer


def test_another_version_has_nothing_to_be_compared_with_and_says_so() -> None:
    found = Measured("CPython 3.13.0 (x)", "3.13", Build(900_000, {"W1": Cost(900_000, {})}), {"W1": BEFORE})
    (verdict,) = budget.compare(stored(), found)
    assert (verdict.is_dearer, verdict.figure) == (False, "nothing is stored to compare with")


def test_an_update_keeps_the_rest_and_scales_what_was_measured_elsewhere(tmp_path: Path) -> None:
    before = stored()
    before.builds[HERE].workloads["W2"] = Cost(700_000, {})
    after = budget.updated(before, measured(330_000, yardstick=1_000_100))
    assert after.builds[HERE].workloads["W1"].total == 330_000
    assert after.builds[HERE].workloads["W2"].total == 700_000
    assert after.builds[ELSEWHERE].workloads["W1"] == Cost(297_000, {"python": 220_000}, scaled=True)
    again = budget.updated(after, measured(330_500))
    assert again.builds[ELSEWHERE].workloads["W1"].total == 297_000  # noise moves nothing
    budget.save(again, tmp_path / "c.json")
    assert budget.load(tmp_path / "c.json") == again


def test_a_scaled_figure_is_held_to_six_per_cent() -> None:
    found = stored()
    found.builds[HERE].workloads["W1"].scaled = True
    assert [budget.compare(found, measured(total))[0].is_dearer for total in (317_000, 319_000)] == [False, True]


def test_only_what_counts_is_stored_by_name() -> None:
    work = budget.to_work(Counter({"big": 9_960, "small": 39}), Counter({"f": 20}), 10)
    assert work == Work(999.9, 2.0, {"big": 996.0}, {"f": 2.0})


def test_a_dump_is_read_without_what_is_counted_twice() -> None:
    found = callgrind.parse(DUMP.splitlines())
    assert (found.name, found.total) == ("W1", 780)
    assert found.libraries == {"libpython3.11.so": 750, "libc.so.6": 30}
    assert found.functions == {"eval": 750, "memcpy": 30}


def test_bytecodes_and_calls_are_counted_by_function() -> None:
    def work(values: list[int]) -> int:
        return sum(sorted(values)) + len(values)

    counts = []
    for _ in range(2):
        tracer = Tracer()
        tracer.begin()
        work([3, 1, 2])
        work([1])
        found = tracer.end()
        counts.append(found.opcodes)
        name = "tests/instructions/test_budget.py test_bytecodes_and_calls_are_counted_by_function.<locals>.work"
        assert found.opcodes[name] > 20
        assert {found.calls[f"builtins.{each}"] for each in ("sum", "sorted", "len")} == {2}
    assert counts[0] == counts[1]


def test_c_functions_have_names_that_people_know() -> None:
    functions: list[object] = [len, {}.get, dict.fromkeys, b"".join]
    assert [c_name(each) for each in functions] == [
        "builtins.len",
        "dict.get",
        "dict.fromkeys",
        "bytes.join",
    ]
