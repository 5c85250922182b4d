"""Two reports side by side: what counts as worse, and what cannot be compared."""

import asyncio
from pathlib import Path

from tests.integration.simulated.test_command import simulate
from tests.unit.simulator.report.test_compare import written
from tests.unit.simulator.report.test_report import latencies


async def test_the_command_shows_a_table_and_exits_by_the_tolerance(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(written())
    (tmp_path / "b.json").write_bytes(written(latencies=latencies(0.1, 0.25)))
    (bad, out, _), (good, _, _), (code, _, err) = await asyncio.gather(
        simulate(tmp_path, "compare", "a.json", "b.json"),
        simulate(tmp_path, "compare", "a.json", "b.json", "--tolerance", "30%"),
        simulate(tmp_path, "compare", "a.json", "none.json"),
    )
    assert (bad, good, code) == (1, 0, 2)
    assert ["http", "latency", "p99", "200.0", "ms", "249.9", "ms", "+24.9", "%"] in [
        x.split() for x in out.splitlines()
    ]
    assert "WORSE by more than 10 %: http latency p90" in " ".join(out.split())
    assert "none.json cannot be read" in " ".join(err.split())
