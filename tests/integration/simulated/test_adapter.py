"""Runs against something else than a gateway, through the adapter that the documentation shows."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from simulator.core.errors import UsageError
from simulator.measure.run import ScenarioRun
from simulator.plan.options import Access, RunOptions, TargetOptions, VerdictOptions
from simulator.plan.plan import metrics_of
from simulator.plan.scenario import FaultRates, FleetSpec, Scenario
from simulator.report.report import Report
from tests.docs.pages import blocks
from tests.fakes import fake_sink
from tests.fakes.fake_gateway import Trick, close_unstored, overloaded
from tests.fakes.fake_sink import FakeSink, Row
from tests.integration.simulated.test_command import simulate
from tests.integration.simulated.test_run import idle
from tests.unit.simulator.cases import now_ms

(EXAMPLE,) = (block.text for block in blocks("python") if block.role == "adapter")


FLEETS = (
    FleetSpec(model="weather_station", devices=6, rate=600, batch=30),
    FleetSpec(model="door", devices=4, rate=40, batch=2),
)


CUSTOM = ("--target", "custom", "--adapter", "rows.py")


LOAD = ("--transport", "http", "--devices", "5", "--rate", "500", "--seconds", "0.3")


@pytest.fixture
async def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeSink]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.py").write_text(EXAMPLE)
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "admin.key").write_text("the gateway's own")
    async with fake_sink.running() as running:
        yield running


async def execute(sink: FakeSink, *, faults: FaultRates = FaultRates(), adapter: str = "rows.py") -> Report:  # noqa: B008 - frozen
    verdict = VerdictOptions(settle=0.3, verify="api")
    options = RunOptions(
        target=Access(url=sink.url), aim=TargetOptions(kind="custom", adapter=Path(adapter)), verdict=verdict
    )
    scenario = Scenario(title="t", fleets=FLEETS, seconds=0.5, connections=4, faults=faults)
    plan = replace(options.plan(now_ms=now_ms()), scenario=scenario)
    return await ScenarioRun(options, plan).execute(idle, on_sent=lambda: None)


async def test_all_is_sent_verified_and_removed(sink: FakeSink) -> None:
    report = await execute(sink)
    assert report.verdict is not None
    assert (report.failures, report.exit_code) == ([], 0)
    (lane,) = report.lanes
    assert report.verdict.total.stored == lane.acknowledged == lane.offered > 250
    assert lane.acknowledged_posts_by_durability == {"target": len(sink.bodies)}
    told = [note for note in report.notes if note != report.held_back]  # a busy machine
    assert told == ["states were not checked: the target rows shows none"]
    assert not sink.rows
    assert not any(sink.keys), "nobody but a gateway is shown the gateway's key"


async def test_a_loss_an_alteration_and_a_stranger_are_found(sink: FakeSink) -> None:
    def lie(rows: list[Row]) -> list[Row]:
        if not rows[0]["id"].endswith("weather-station-00002"):
            return rows
        lost, altered, *kept = rows
        return [altered | {"humidity": -1.0}, {**lost, "ms": lost["ms"] + 1}, *kept]

    sink.lie = lie
    report = await execute(sink)
    assert report.verdict is not None
    total, width = report.verdict.total, len(metrics_of(FLEETS[0]))
    assert (total.lost, total.wrong, total.unexpected) == (width, 1, width)
    found = {(problem.trouble, problem.metric) for problem in total.problems}
    assert ("wrong", "humidity") in found
    assert {problem.device.rpartition("-")[2] for problem in total.problems} == {"00002"}
    assert report.exit_code == 1
    assert sink.rows, "what somebody will want to look at stays"


@pytest.mark.parametrize("trick", [close_unstored, overloaded])
async def test_later_and_no_answer_are_repeated_with_the_same_bytes(sink: FakeSink, trick: Trick) -> None:
    sink.tricks.extend([trick] * 3)
    report = await execute(sink)
    assert report.failures == []
    assert sum(report.lanes[0].errors.values()) == 3
    assert len(sink.bodies) == len(set(sink.bodies)) + 3


async def test_what_the_target_answers_otherwise_is_wrong_and_not_lost(sink: FakeSink) -> None:
    sink.tricks.append(lambda *_: (418, {}))
    report = await execute(sink)
    assert report.failures == ["1 wrong answers"]
    assert (report.score.examples[0].got, report.score.examples[0].expected) == ("418 refused", "stored")


async def test_faults_that_need_no_agreement_and_those_the_adapter_agrees_to(sink: FakeSink) -> None:
    faults = FaultRates(late=0.1, out_of_order=0.1, duplicate=0.2, disconnect=0.1, churn=0.1, malformed_json=0.1)
    report = await execute(sink, faults=faults)
    (lane,) = report.lanes
    assert report.failures == []
    assert min(lane.injected[fault] for fault in ("duplicate", "disconnect", "churn", "malformed_json")) > 0
    assert set(lane.expected_refusals) == {"refused", "no_answer"}
    assert len(sink.bodies) > len(set(sink.bodies)), "duplicates are sent again"


OWN_TRUTH = """

class Target(Target):
    faults = adapter.HARMLESS | {adapter.Fault.NAN}

    def truth(self, part):
        return Truth(part)


class Truth:
    def __init__(self, part):
        self.part = part

    def expected(self, post, fault):
        if fault is adapter.Fault.NAN:
            return adapter.Expected(207, "no_number", (self.part.draw.reading(post),))
        return adapter.Expected(None)

    def again(self, post, fault, shape):
        return adapter.Expected(None, is_again=True)
"""


PARTLY = """
        if status == 207:
            return adapter.Answer.partly(status, {int(n): "no_number" for n in json.loads(body)["bad"]})
        if status == 202:"""


async def test_an_adapter_may_say_what_is_right_reading_by_reading(sink: FakeSink, tmp_path: Path) -> None:
    text = EXAMPLE.replace("\n        if status == 202:", PARTLY)
    (tmp_path / "rows.py").write_text(text + OWN_TRUTH)
    report = await execute(sink, faults=FaultRates(nan=0.3))
    (lane,) = report.lanes
    assert report.failures == []
    assert lane.expected_refusals == {"no_number": lane.injected["nan"]}
    assert report.verdict is not None
    assert report.verdict.total.stored == lane.sent - lane.injected["nan"]


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (
            ("smoke", "--transport", "http"),
            "Nobody has said what the target rows must answer to nan: take the faults out",
        ),
        (("--transport", "mqtt"), "The target rows is not sent to over mqtt: use --transport http."),
        (("--transport", "http", "--database", "postgresql://x"), "is a gateway's, and the target is rows"),
    ],
)
async def test_what_it_cannot_be_asked_is_refused_before_anything_is_sent(
    sink: FakeSink, tmp_path: Path, load: tuple[str, ...], sentence: str
) -> None:
    code, out, err = await simulate(tmp_path, "run", *CUSTOM, "--url", sink.url, *load)
    assert (code, out) == (2, "")
    assert sentence in " ".join(err.split())
    assert not sink.asked


async def test_a_ledger_knows_its_target_also_with_several_processes(sink: FakeSink, tmp_path: Path) -> None:
    run = ("run", *CUSTOM, "--url", sink.url, *LOAD, "--workers", "2", "--ledger", "kept", "--json", "out.json")
    code, out, err = await simulate(tmp_path, *run)
    assert code == 0, err
    assert "rows.py: sim-1-" in out
    assert json.loads((tmp_path / "out.json").read_bytes())["plan"]["target"]["kind"] == "custom"
    _, gone = sink.rows.popitem()
    code, out, _ = await simulate(tmp_path, "verify", "kept", "--url", sink.url, "--settle", "0.2")
    assert (code, f"FAILED: {len(gone.keys() - {'id', 'ms'})} lost" in out) == (1, True)
    assert (await simulate(tmp_path, "remove", "kept", "--url", sink.url))[0] == 0
    assert not sink.rows


@pytest.mark.parametrize("name", ["check_access", "knock"])
async def test_access_is_checked_by_its_name_and_by_the_one_of_before(
    sink: FakeSink, tmp_path: Path, name: str
) -> None:
    (tmp_path / "rows.py").write_text(EXAMPLE + f"\n    async def {name}(self, client):\n        1 / 0\n")
    code, _, err = await simulate(tmp_path, "run", *CUSTOM, "--url", sink.url, *LOAD)
    assert code == 2
    assert f"failed in {name}: ZeroDivisionError" in " ".join(err.split())
    assert not sink.rows


async def test_without_a_way_to_read_back_nothing_is_said_of_losses(sink: FakeSink, tmp_path: Path) -> None:
    blind = EXAMPLE.replace("def source", "def no_source")
    (tmp_path / "rows.py").write_text(blind)
    code, out, _ = await simulate(tmp_path, "run", *CUSTOM, "--url", sink.url, *LOAD)
    assert code == 0
    assert "the target rows has no way to read it back" in " ".join(out.split())
    assert "no fault found, but what is stored was not looked at" in out
    assert "lost" not in out
    code, _, _ = await simulate(tmp_path, "run", *CUSTOM, "--url", sink.url, *LOAD, "--verify", "api")
    assert code == 2


BREAKAGES = {
    "syntax": (EXAMPLE + "def", "failed in its own lines: SyntaxError"),
    "no class": (
        EXAMPLE.replace("class Target(", "class Other("),
        "has no class Target that extends simulator.adapter",
    ),
    "not a target": (EXAMPLE.replace("class Target(adapter.Target)", "class Target"), "has no class Target that"),
    "no codec": (EXAMPLE.replace("def codec", "def codex"), "has no method codec in its class Target"),
    "init": (
        EXAMPLE.replace('    name = "rows"', "    def __init__(self): 1 / 0"),
        "failed in Target(): ZeroDivisionError",
    ),
    "refusals": (EXAMPLE.replace("(400, ", '("400", '), "refusals must map a Fault to a status and a code"),
    "write raises": (EXAMPLE.replace("run.rows)", "run.rose)"), "failed in write: AttributeError"),
    "write returns": (EXAMPLE.replace("return adapter.Post(", "adapter.Post("), "write must return a Post"),
    "read raises": (EXAMPLE.replace("status == 202", "status == 20 / 0"), "failed in read: ZeroDivisionError"),
    "read returns": (
        EXAMPLE.replace("return adapter.Answer.stored(status)", "return True"),
        "read must return an Answer",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_a_broken_adapter_is_told_with_its_place(sink: FakeSink, tmp_path: Path, breakage: str) -> None:
    text, sentence = BREAKAGES[breakage]
    assert text != EXAMPLE
    (tmp_path / "rows.py").write_text(text)
    with pytest.raises(UsageError, match=r"rows\.py") as caught:
        await execute(sink)
    assert sentence in str(caught.value)
    assert not sink.rows or breakage.startswith("read")


async def test_a_source_that_breaks_is_a_reason_not_to_know(sink: FakeSink, tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(EXAMPLE.replace("json.loads(response.body)", "response.nothing"))
    report = await execute(sink)
    assert report.verdict is not None
    assert "failed in columns: AttributeError" in report.verdict.stored_unchecked
    assert report.exit_code == 2
