"""GET /v1/ledger and `gateway ledger`: the books over a real server, for admins only."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from gateway.app.cli.api_client import KEY_ENV
from gateway.app.cli.ledger import show
from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import GatewayError
from gateway.domain.ledger import Fate, Ledger
from gateway.telemetry import ledger_events
from tests.integration.web_server import Door, serving

pytestmark = pytest.mark.usefixtures("made_up_labels")


@pytest_asyncio.fixture(name="door")
async def running() -> AsyncIterator[Door]:
    async with serving() as door:
        yield door


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("admin\n")
    return path


async def test_an_admin_sees_the_books(door: Door) -> None:
    with ledger_events.InHand("seen", 12) as hand:
        hand.settle(Fate(10, 2))
    got = await door.client.get("/v1/ledger")
    assert (got.status_code, got.headers["cache-control"]) == (200, "no-store")
    books = msgspec.json.decode(got.content, type=Ledger)
    assert books == ledger_events.read()
    assert (books.sources["seen"].received, books.sources["seen"].duplicates) == (12, 2)


@pytest.mark.parametrize(("token", "status"), [("reader", 403), ("ingest", 403), ("d1", 403), ("nobody", 401)])
async def test_nobody_else_does(door: Door, token: str, status: int) -> None:
    got = await door.client.get("/v1/ledger", headers={"Authorization": f"Bearer {token}"})
    assert got.status_code == status


async def test_the_command_prints_a_line_for_each_fate(
    door: Door, key_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ledger_events.InHand("told", 4321) as hand:
        hand.settle(Fate(4300, 21))
    ledger_events.drained(5, duplicates=2)
    url = f"http://127.0.0.1:{door.port}/"
    await asyncio.to_thread(show, url, key_file=key_file, json=False)
    out, err = capsys.readouterr()
    lines = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    column = lines["readings"].index("told")
    assert [lines[name][column] for name in ("received", "stored", "duplicates", "failed")] == [
        "4,321",
        "4,300",
        "21",
        "0",
    ]
    assert "duplicates" in err.removeprefix("From the spool: ")
    await asyncio.to_thread(show, url, key_file=key_file, json=True)
    assert json.loads(capsys.readouterr().out)["sources"]["told"]["received"] == 4321


async def test_the_command_says_why_it_has_no_answer(
    door: Door, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{door.port}"
    monkeypatch.setenv(KEY_ENV, "reader")
    for address, key, words in (
        (url, None, "answers 403: only an admin key"),
        (url, tmp_path / "none", "cannot read the key file"),
        (f"http://127.0.0.1:{free_port()}", key_file, "is the gateway running"),
        ("127.0.0.1:8080", key_file, "is not an address"),
    ):
        with pytest.raises(GatewayError, match=words):
            await asyncio.to_thread(show, address, key_file=key, json=False)
