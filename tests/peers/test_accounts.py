"""The accounts of a comparison: what a target has acknowledged and lost is found and told; a whole one is whole."""

import json
import signal
from pathlib import Path
from random import Random

import pytest

from tests.peers import __main__ as command
from tests.peers import measure
from tests.peers.accounts import Account, settle
from tests.peers.fake import FakeTarget
from tests.peers.measure import killed, measured
from tests.peers.report import tables
from tests.peers.sequence import Requests
from tests.peers.works import WORKS, Door, base_ms, ends_ms

SECONDS = 0.4
NAMED = {"fake": ("a fake", "nothing")}


@pytest.fixture(autouse=True)
def _soon_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "WARM_SECS", 0.2)


def test_what_one_device_has_too_much_of_hides_no_loss() -> None:
    assert settle({"a": 10, "b": 10}, {"a": 25, "b": 4}, total=40) == Account(20, 6, 26)
    assert settle({"a": 10}, {}, total=0) == Account(10, 10, 0)


@pytest.mark.parametrize("work", ["W1", "W2", "W3"])
def test_every_format_says_the_same(work: str) -> None:
    """What a request holds, and when: read back from each format."""
    for number in (0, 7):
        found = {}
        for layout in ("messages", "nested", "influx"):
            each = Requests(WORKS[work], Door(1, layout), tag="t", connection=3, base_ms=base_ms())
            head, _, body = each.request(number).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}" in head.decode().lower()
            found[layout] = sorted(read(layout, body.decode()))
        assert found["messages"] == found["nested"] == found["influx"]
        assert len(found["messages"]) == WORKS[work].readings
        last = max(stamp for _, _, stamp, _ in found["messages"])
        assert last < min(ends_ms(base_ms(), each.stamps(number + 1)).values())
        assert last >= min(ends_ms(base_ms(), each.stamps(number)).values())


def read(layout: str, body: str) -> list[tuple[str, str, int, float]]:
    """The readings of a body."""
    if layout == "influx":
        lines = [line.split(" ") for line in body.splitlines()]
        each = [(head.partition("=")[2], field, int(ms)) for head, fields, ms in lines for field in fields.split(",")]
        return [(d, field.partition("=")[0], ms, float(field.partition("=")[2])) for d, field, ms in each]
    said = json.loads(body)
    messages = [(one["device"], more) for one in said for more in one.get("readings", [one])]
    return [(d, metric, one["ts"], value) for d, one in messages for metric, value in one["values"].items()]


def test_a_whole_target_is_whole() -> None:
    run = measured(FakeTarget(), WORKS["W2"], seconds=SECONDS, tag="r0")
    assert run.stored == run.acknowledged > 0
    assert run.errors == {}
    assert run.cpu["program"] > 0
    assert "100.0%" in tables([run], [], NAMED)


def test_a_target_that_drops_some_is_found() -> None:
    target = FakeTarget(drops_every=10)
    run = measured(target, WORKS["W2"], seconds=SECONDS, tag="r0")
    assert run.acknowledged > run.stored > 0
    assert 0.88 < run.stored / run.acknowledged < 0.92
    assert f"| {run.stored / run.acknowledged:.1%} |" in tables([run], [], NAMED)


@pytest.mark.parametrize("forgets", [0, 3])
def test_what_a_kill_costs_is_found_to_the_reading(forgets: int) -> None:
    target = FakeTarget(forgets=forgets)
    kill = killed(target, WORKS["W1"], seconds=2 * SECONDS, tag="k0", random=Random(1))
    assert kill.lost == forgets * WORKS["W1"].metrics
    assert kill.acknowledged > kill.lost
    assert kill.unasked <= WORKS["W1"].connections * WORKS["W1"].metrics
    assert f"| {kill.lost:,} |" in tables([], [kill], NAMED)


def test_a_gateway_that_loses_something_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the figures are written down."""
    monkeypatch.setattr(FakeTarget, "name", "gateway")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    for forgets, code in ((0, 0), (2, command.LOST)):
        monkeypatch.setattr(command, "opened", lambda *_, forgets=forgets: [FakeTarget(forgets=forgets)])
        place = tmp_path / f"{forgets}.json"
        options = ["crash", "--works", "W2", "--rounds", "1", "--seconds", str(2 * SECONDS), "--json", str(place)]
        assert command.main(options) == code
        (kill,) = json.loads(place.read_text())["kills"]
        assert kill["lost"] == forgets * WORKS["W2"].metrics
