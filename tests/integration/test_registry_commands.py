"""`gateway device|key|metric` as people type them, on a real database."""

import asyncio
import getpass
import json
import re
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cyclopts import App

from gateway.app.cli import output
from gateway.app.cli.audit import audit_app
from gateway.app.cli.device import device_app
from gateway.app.cli.key import key_app
from gateway.app.cli.metric import metric_app
from gateway.app.dev_servers.ports import free_port
from gateway.domain.credentials import TOKEN, digest_of
from tests.integration.writing import fetch, open_gateway
from tests.servers.databases import Database


class Terminal:
    """Runs a command as a shell would, against one database."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url = url
        self._capsys = capsys
        self.err = ""

    async def run(self, app: App, *words: str, code: int = 0) -> str:
        def call() -> int:
            with pytest.raises(SystemExit) as left:
                app([*words, "--database", self._url])
            return int(left.value.code or 0)

        left = await asyncio.to_thread(call)
        out, self.err = self._capsys.readouterr()
        assert left == code, (out, self.err)
        return out

    async def json(self, app: App, *words: str) -> Any:
        return json.loads(await self.run(app, *words, "--json"))


@pytest.fixture
def terminal(plain_db: Database, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(plain_db.url, capsys)


def token_in(text: str) -> str:
    [token] = re.findall(TOKEN.pattern, text)
    assert isinstance(token, str)
    return token


async def test_device_add_shows_a_token_that_works(terminal: Terminal, plain_db: Database) -> None:
    token = token_in(await terminal.run(device_app, "add", "d1", "--tag", "site=Köln", "--tag", "line=2"))
    connection = await asyncpg.connect(plain_db.url)
    row = await connection.fetchrow(
        "select d.name, d.tags::text from credentials c join devices d on d.id = c.device_id where digest = $1",
        digest_of(token),
    )
    await connection.close()
    assert row is not None
    assert (row["name"], json.loads(row["tags"])) == ("d1", {"site": "Köln", "line": "2"})


async def test_a_device_from_its_birth_to_its_second_token(terminal: Terminal) -> None:
    added = await terminal.json(device_app, "add", "d1")
    assert TOKEN.fullmatch(added["token"])
    rotated = await terminal.json(device_app, "rotate", "d1", "--overlap", "0")
    shown = await terminal.json(device_app, "show", "d1")
    assert [one["id"] for one in shown["credentials"]] == [rotated["id"]]
    assert (await terminal.json(device_app, "disable", "d1"))["enabled"] is False
    assert (await terminal.json(device_app, "enable", "d1"))["enabled"] is True
    assert "d1" in await terminal.run(device_app, "show", "d1")


async def test_device_list_pages(terminal: Terminal) -> None:
    for name in ("a1", "a2", "a3", "b1"):
        await terminal.run(device_app, "add", name)
    page = await terminal.json(device_app, "list", "--prefix", "a", "--limit", "2")
    assert [device["device"] for device in page] == ["a1", "a2"]
    assert "a3" in await terminal.run(device_app, "list", "--after", "a2", "--prefix", "a")


async def test_keys_are_added_listed_and_revoked(terminal: Terminal) -> None:
    out = await terminal.run(
        key_app, "add", "--role", "ingest", "--prefix", "plant-7.", "--expires-days", "30", "--label", "edge box"
    )
    assert token_in(out).startswith("gwi_")
    [listed] = await terminal.json(key_app, "list")
    assert (listed["role"], listed["prefix"], listed["label"]) == ("ingest", "plant-7.", "edge box")
    await terminal.run(key_app, "revoke", str(listed["id"]))
    assert await terminal.json(key_app, "list") == []
    assert len(await terminal.json(key_app, "list", "--all")) == 1
    assert "revoked" in await terminal.run(key_app, "list", "--all")


async def test_metrics_are_declared_and_taken_back(terminal: Terminal) -> None:
    await terminal.run(metric_app, "declare-int", "counter")
    counter = {"metric": "counter", "kind": "int", "unit": None, "declared_int": True}
    assert await terminal.json(metric_app, "list") == [counter]
    assert "counter" in await terminal.run(metric_app, "list")
    await terminal.run(metric_app, "undeclare-int", "counter")
    await terminal.run(metric_app, "set", "t", code=2)
    assert (await terminal.json(metric_app, "set", "t", "--unit", "°C"))[0]["unit"] == "°C"
    assert (await terminal.json(metric_app, "set", "t", "--unit", "", "--declare-int"))[0]["unit"] is None
    assert [one["metric"] for one in await terminal.json(metric_app, "list", "--after", "s double")] == ["t"]
    await terminal.run(metric_app, "undeclare-int", "counter", code=1)


async def test_devices_are_imported_found_changed_and_removed(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text("device,enabled,tag:site\nd1,,north\nd2,false,south\nbad name,,\n")
    out = await terminal.run(device_app, "import", str(file), code=1)
    assert re.search(r"created +2", out)
    assert "line 4: bad_parameter" in terminal.err
    file.write_text("device,tag:floor\nd1,2\n")
    assert (await terminal.json(device_app, "import", str(file)))["updated"] == 1
    for words, names in [
        (["--tag", "site:north"], ["d1"]),
        (["--tag", "site", "--disabled"], ["d2"]),
        (["--stale", "1h", "--offline"], ["d1", "d2"]),
        (["--online"], []),
    ]:
        assert [one["device"] for one in await terminal.json(device_app, "list", *words)] == names, words
    changed = await terminal.json(device_app, "update", "d1", "--tag", "line=7", "--untag", "floor")
    assert changed["tags"] == {"site": "north", "line": "7"}
    await terminal.run(device_app, "remove", "d1")
    assert [one["device"] for one in await terminal.json(device_app, "list")] == ["d2"]


async def test_a_device_with_readings_is_removed_only_when_told_so(terminal: Terminal, plain_db: Database) -> None:
    async with open_gateway(plain_db.url) as gateway:
        await gateway.write([("d1", 1, {"t": 1.0})])
    await terminal.run(device_app, "remove", "d1", code=1)
    assert "give --readings" in terminal.err
    assert "readings=" not in terminal.err
    await terminal.run(device_app, "remove", "d1", "--readings")
    assert await fetch(plain_db.url, "select count(*) from messages") == [(0,)]


async def test_what_was_done_is_listed(terminal: Terminal) -> None:
    await terminal.run(device_app, "add", "d1", "--tag", "a=1")
    await terminal.run(device_app, "disable", "d1")
    entries = await terminal.json(audit_app, "list")
    assert [(one["action"], one["target"]) for one in entries[::2]] == [
        ("device.update", "d1"),
        ("device.create", "d1"),
    ]
    assert {one["actor"] for one in entries} == {f"cli {getpass.getuser()}"}
    assert "device.update" in await terminal.run(audit_app, "list", "--limit", "1")
    assert f"--before {entries[0]['id']}" in terminal.err
    assert await terminal.json(audit_app, "list", "--since", "2100-01-01T00:00:00Z") == []
    await terminal.run(audit_app, "list", "--since", "yesterday", code=2)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "ghost"], 1, "there is no device 'ghost'"),
        (["rotate", "ghost"], 1, "there is no device 'ghost'"),
        (["add", "bad name"], 2, "bad name"),
        (["add", "d1", "--tag", "novalue"], 2, "novalue"),
        (["rotate", "d1", "--overlap", "-1"], 2, "overlap"),
        (["list", "--limit", "0"], 2, "limit"),
        (["list", "--stale", "soon"], 2, "soon"),
        (["list", "--tag", "a b"], 2, "a b"),
        (["update", "ghost", "--tag", "a=1"], 1, "there is no device 'ghost'"),
        (["remove", "ghost"], 1, "there is no device 'ghost'"),
        (["import", "devices.txt"], 2, "--format"),
        (["import", "no/such.csv"], 2, "no/such.csv"),
        (["list", "--nonsense", "1"], 2, "nonsense"),
        (["add"], 2, "NAME"),
    ],
)
async def test_what_goes_wrong_is_one_sentence_and_a_code(
    terminal: Terminal, words: list[str], code: int, said: str
) -> None:
    out = await terminal.run(device_app, *words, code=code)
    assert said in out + terminal.err
    assert "Traceback" not in out + terminal.err


async def test_a_database_that_is_away_or_wrong_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    away = Terminal(f"postgresql://postgres@127.0.0.1:{free_port()}/postgres", capsys)
    await away.run(device_app, "list", code=1)
    assert "database cannot be reached" in away.err
    assert "Connect" in away.err or "refused" in away.err
    wrong = Terminal("postgresql://u:hunter2/x@127.0.0.1:1/x", capsys)
    out = await wrong.run(device_app, "list", code=2)
    assert "hunter2" not in out + wrong.err


async def test_a_pipe_gets_whole_lines(terminal: Terminal) -> None:
    name, label = "d" * 128, "l" * 200
    await terminal.run(device_app, "add", name)
    await terminal.run(key_app, "add", "--role", "reader", "--label", label)
    assert name in await terminal.run(device_app, "list")
    listed = await terminal.run(key_app, "list")
    assert label in listed
    assert not any(line.endswith(" ") for line in listed.splitlines())


async def test_tables_fit_the_eighty_columns_of_a_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(output, "_is_terminal", lambda: True)
    name = "d" * 128
    outputs = [
        await terminal.run(device_app, "add", name, "--tag", f"k={'v' * 200}"),
        await terminal.run(device_app, "list"),
        await terminal.run(device_app, "show", name),
        await terminal.run(key_app, "add", "--role", "reader", "--label", "l" * 200),
        await terminal.run(key_app, "list"),
    ]
    assert max(len(line) for out in outputs for line in out.splitlines()) <= 80


@pytest.mark.parametrize("app", [device_app, key_app, metric_app, audit_app])
def test_help_has_examples(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        app(["--help"])
    assert not left.value.code
    assert "gateway " + app.name[0] in capsys.readouterr().out
