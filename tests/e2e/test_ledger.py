"""The books of a gateway against those of the simulator: two programs that share no code count the same."""

import json
from typing import Any

from tests.e2e.conftest import Run, Serve
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.e2e.test_promise import LOAD
from tests.servers import plain_http


def books_of(gateway: Gateway) -> dict[str, Any]:
    got = plain_http.get(f"{gateway.url}/v1/ledger", headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=10)
    assert got.status_code == 200, got.text
    books: dict[str, Any] = got.json()
    return books


def exit_lines(gateway: Gateway) -> list[dict[str, Any]]:
    lines = [line for line in gateway.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line.get("name") == "ledger"]


def test_the_ledger_counts_what_the_simulator_counts(serve: Serve, run: Run) -> None:
    gateway = serve(GATEWAY_HTTP__WORKERS="2")
    code, report, output = run(gateway, *LOAD, "--transport", "mixed", "--seconds", "4").finish()
    assert code == 0, output
    wait_for(lambda: books_of(gateway)["total"]["queued"] == 0, lambda: "everything is answered", secs=20)
    books = books_of(gateway)
    assert [books_of(gateway) for _ in range(5)] == [books] * 5, "whichever worker answers"
    for lane in report["lanes"]:
        account = books["sources"][lane["transport"]]
        assert account["stored"] + account["duplicates"] == lane["acknowledged"] > 0
        others = ("conflicts", "refused", "dead_lettered", "spooled", "failed", "queued", "interrupted")
        assert {name: account[name] for name in others} == dict.fromkeys(others, 0)
        assert account["received"] == account["stored"] + account["duplicates"]
    assert gateway.terminate() == 0
    lines = exit_lines(gateway)
    assert len({line["worker"] for line in lines}) == len(lines) == 2
    assert lines[-1]["total"] == books["total"]
