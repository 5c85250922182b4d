"""The files and the exit codes of a run, as a user gets them: own processes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.fakes import fake_gateway
from tests.fakes.fake_api import FakeHistory
from tests.fakes.fake_gateway import FakeGateway
from tests.integration.simulated.test_command import simulate

_RUN = ("run", "--transport", "http", "--devices", "20", "--rate", "2000")


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    async with fake_gateway.running() as running:
        running.calls.append(FakeHistory(running, page=1_000))
        yield running


async def test_a_run_of_two_processes_writes_what_it_was_asked_for(tmp_path: Path, gateway: FakeGateway) -> None:
    code, out, err = await simulate(
        tmp_path, *_RUN, "--seconds", "1.5", "--url", gateway.url, "--workers", "2", "--json", "out.json",
        "--html", "out.html", "--junit", "out.xml", "--require", "lost=0,p99_ack<60s,errors<50%",
    )  # fmt: skip
    assert code == 0, out + err
    assert "required lost=0: met, 0" in out
    report = json.loads((tmp_path / "out.json").read_text())
    series = report["series"]["http"]
    assert series["seconds"] == 1
    assert len(series["rows"]) >= 2
    assert sum(row["acknowledged"] for row in series["rows"]) == report["lanes"][0]["acknowledged"]
    assert sum(row["offered"] for row in series["rows"]) == report["lanes"][0]["offered"]
    assert [one["is_met"] for one in report["requirements"]] == [True] * 3
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert ET.parse(tmp_path / "out.xml").getroot().attrib["failures"] == "0"


async def test_a_requirement_that_is_not_met_is_exit_99(tmp_path: Path, gateway: FakeGateway) -> None:
    code, out, _ = await simulate(
        tmp_path, *_RUN, "--seconds", "0.3", "--url", gateway.url, "--require", "rate>1000000,lost=0"
    )
    assert code == 99
    assert "required lost=0: met" in out
    assert "REQUIREMENT NOT MET: rate>1000000" in out


async def test_what_cannot_be_required_or_written_is_exit_2(tmp_path: Path, gateway: FakeGateway) -> None:
    (code, _, err), (other, _, told) = await asyncio.gather(
        simulate(tmp_path, *_RUN, "--url", gateway.url, "--require", "p98_ack<1ms"),
        simulate(tmp_path, *_RUN, "--seconds", "0.1", "--url", gateway.url, "--html", "none/out.html"),
    )
    assert (code, other) == (2, 2)
    assert "there is no figure 'p98_ack'. Known are" in " ".join(err.split())
    assert "cannot be written to none/out.html" in " ".join(told.split())
