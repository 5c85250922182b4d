"""A rate is held only if what was acknowledged is there: it is looked for where it can be, and said where not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import blocks
from tests.fakes import fake_gateway, fake_sink
from tests.fakes.fake_sink import FakeSink
from tests.integration.simulated.test_command import simulate

(EXAMPLE,) = (block.text for block in blocks("python") if block.role == "adapter")


WITHOUT_SOURCE = EXAMPLE.replace("    def source(self, client):\n        return Rows(client)\n\n", "")


ADAPTER = ("--target", "custom", "--adapter", "rows.py")


STEADY = ("--transport", "http", "--devices", "20", "--hold", "0.2", "--rest", "0", "--p99", "60000", "--settle", "0")


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[FakeSink]:
    (tmp_path / "rows.py").write_text(EXAMPLE)
    async with fake_sink.running() as running:
        yield running


async def capacity(folder: Path, url: str, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Look for it at two rates; return the exit code, what was printed in one line, and the JSON."""
    rates = ("--first", "200", "--most", "400", "--json", "out.json")
    code, out, err = await simulate(folder, "capacity", *options, "--url", url, *STEADY, *rates)
    assert (folder / "out.json").exists(), err
    return code, " ".join(out.split()), json.loads((folder / "out.json").read_bytes())


async def test_a_target_that_can_be_read_back_is_read_back_after_each_rate(sink: FakeSink, tmp_path: Path) -> None:
    code, out, told = await capacity(tmp_path, sink.url, *ADAPTER)
    assert (code, told["verified"], told["unverified"]) == (0, True, "")
    assert "held for 0.2 s: at least 400 readings/s ·" in out
    assert "not verified" not in out
    assert sum(method == "GET" for method, _ in sink.asked) >= 2 * 20
    assert [trial["unverified"] for trial in told["trials"]] == ["", ""]


async def test_what_a_target_has_lost_breaks_the_rate(sink: FakeSink, tmp_path: Path) -> None:
    sink.lie = lambda rows: rows[1:]
    code, out, told = await capacity(tmp_path, sink.url, *ADAPTER)
    assert (code, told["held"], told["verified"]) == (1, None, False)
    assert "no rate was held" in out
    assert all(trial["broken"][0].endswith(" lost") for trial in told["trials"])


async def test_a_target_that_cannot_be_read_back_is_said_to_be_unverified(sink: FakeSink, tmp_path: Path) -> None:
    assert WITHOUT_SOURCE != EXAMPLE
    (tmp_path / "rows.py").write_text(WITHOUT_SOURCE)
    code, out, told = await capacity(tmp_path, sink.url, *ADAPTER)
    assert (code, told["verified"]) == (0, False)
    assert told["unverified"] == "not verified: the target rows has no way to read it back"
    assert "400 readings/s, not verified" in out
    assert "nobody looked for what was acknowledged: the target rows has no way to read it back" in out


async def test_a_gateway_without_its_database_is_said_to_be_unverified(tmp_path: Path) -> None:
    async with fake_gateway.running() as gateway:
        code, out, told = await capacity(tmp_path, gateway.url)
    assert (code, told["unverified"]) == (0, "not verified: give --database to have it looked for")
    assert "readings/s, not verified" in out
