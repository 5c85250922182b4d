"""`gateway dead-letters` as people type it: on a real database, and against a real server for replays."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app.cli.api_client import KEY_ENV
from gateway.app.cli.dead_letters import dead_letters_app
from gateway.app.dev_servers.ports import free_port
from gateway.core.errors import BadPayload
from gateway.domain.dead_letters import DeadLetter, DeadLetterFilter
from gateway.domain.model import Receipt
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.timescale.connections.pool import Pool, open_pool
from gateway.timescale.dead_letters.browse import StoredDeadLetters
from gateway.timescale.dead_letters.store import TimescaleDeadLetters
from tests.integration.registries import registrar_on
from tests.integration.web_server import CLEAN, Door, serving
from tests.integration.writing import SOON
from tests.servers.databases import Database

LETTERS = [
    DeadLetter("mqtt", "unknown_device", "1 refused", "d1", b'{"t": 1}', "devices/d1/readings"),
    DeadLetter("mqtt", "bad_payload", "no JSON", "d2", b"\xff\x00", "devices/d2/readings"),
    DeadLetter("database", "rejected_by_database", "23514: no", "d1", b"{}"),
]

Run = Callable[..., Awaitable[str]]


@pytest.fixture
def run(plain_db: Database, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command, as a shell would; `code` is the exit code it must end with."""

    async def command(*words: str, code: int = 0, err: str = "") -> str:
        database = [] if words[0] == "replay" else ["--database", plain_db.url]

        capsys.readouterr()  # what a server has said until now

        def call() -> int:
            with pytest.raises(SystemExit) as left:
                dead_letters_app([*words, *database])
            return int(left.value.code or 0)

        left = await asyncio.to_thread(call)
        out, said = capsys.readouterr()
        assert (left, "Traceback" in out + said) == (code, False), (out, said)
        assert err in said + out
        return out

    return command


@pytest.fixture
async def pool(plain_db: Database) -> AsyncIterator[Pool]:
    async with open_pool(plain_db.url, name="test", size=2, connect_timeout=SOON, command_timeout=SOON) as pool:
        for letter in LETTERS:
            await TimescaleDeadLetters(pool).put([letter])
        yield pool


@pytest.fixture
async def door(pool: Pool) -> AsyncIterator[Door]:
    async with serving() as door:
        door.context.redelivery = DeadLetterReplay(door.intake, StoredDeadLetters(pool))
        door.context.registrar = registrar_on(pool)
        yield door


async def listed(run: Run, *words: str) -> list[dict[str, Any]]:
    found = json.loads(await run("list", "--json", *words))
    assert isinstance(found, list)
    return found


@pytest.mark.usefixtures("pool")
async def test_letters_are_listed_and_shown(run: Run) -> None:
    everything = await listed(run)
    assert [letter["code"] for letter in everything] == ["rejected_by_database", "bad_payload", "unknown_device"]
    assert [letter["id"] for letter in await listed(run, "--device", "d1", "--source", "mqtt")] == [everything[2]["id"]]
    page = await run("list", "--limit", "2", err=f"--before {everything[1]['id']}")
    assert "rejected_by" in page
    assert "unknown_device" in await run("list", "--before", str(everything[1]["id"]))
    assert max(map(len, (await run("list")).splitlines())) <= 80
    shown = await run("show", str(everything[1]["id"]))
    assert "/wA=" in shown
    assert "base64" in shown
    assert json.loads(await run("show", str(everything[2]["id"]), "--json"))["payload"] == '{"t": 1}'
    assert "no dead letters" in await run("list", "--code", "too_old")


async def test_what_a_device_sent_cannot_steer_the_terminal(run: Run, pool: Pool) -> None:
    evil = "\x1b]0;owned\x07\x9b2J"
    await TimescaleDeadLetters(pool).put([DeadLetter("mqtt", "bad_payload", evil, evil, evil.encode(), evil)])
    [letter] = await listed(run, "--device", evil)
    assert letter["payload"] == evil
    for said in (await run("list"), await run("show", str(letter["id"]))):
        assert "owned" in said
        assert not set(said) & {"\x1b", "\x07", "\x9b"}


@pytest.mark.usefixtures("pool")
async def test_letters_are_purged_only_as_told(run: Run) -> None:
    numbers = {letter["code"]: str(letter["id"]) for letter in await listed(run)}
    await run("purge", code=2, err="say which letters")
    await run("purge", "--all", "--code", "bad_payload", code=2, err="say which letters")
    await run("purge", numbers["bad_payload"], "--device", "d2", code=2, err="say which letters")
    assert len(await listed(run)) == 3
    assert json.loads(await run("purge", "--replayed", "--json")) == {"removed": 0}
    assert "removed  1" in await run("purge", numbers["bad_payload"])
    await run("purge", numbers["bad_payload"], code=1, err="there is no dead letter")
    assert json.loads(await run("purge", "--device", "d1", "--json")) == {"removed": 2}
    assert await listed(run) == []


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["show", "4711"], 1, "there is no dead letter 4711"),
        (["show", "0"], 2, "Invalid value"),
        (["list", "--since", "yesterday"], 2, "RFC 3339"),
        (["list", "--code", "No!"], 2, "is no code"),
        (["list", "--limit", "0"], 2, "Invalid value"),
        (["replay"], 2, "say which letters"),
    ],
)
async def test_what_goes_wrong_is_one_sentence_and_a_code(run: Run, words: list[str], code: int, said: str) -> None:
    await run(*words, code=code, err=said)


async def test_everything_is_replayed_page_by_page(
    run: Run, door: Door, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.web.handlers.dead_letters.LIMIT", 2)
    monkeypatch.delenv(KEY_ENV, raising=False)
    key = tmp_path / "admin.key"
    key.write_text("admin\n")

    async def all_but_one(body: bytes) -> Receipt:
        if body == LETTERS[1].payload:
            raise BadPayload("no JSON")
        return CLEAN

    door.intake.answer = all_but_one
    out = await run(
        "replay",
        "--all",
        "--url",
        f"http://127.0.0.1:{door.port}",
        "--key-file",
        str(key),
        "--json",
        code=1,
        err="bad_payload: no JSON",
    )
    assert json.loads(out) == {"replayed": 2, "refused": 1}
    assert [letter.code for letter in await StoredDeadLetters(pool).page(DeadLetterFilter(replayed=False))] == [
        "bad_payload"
    ]


async def test_some_and_single_ones_are_replayed(
    run: Run, door: Door, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ENV, "admin")
    here = ["--url", f"http://127.0.0.1:{door.port}"]
    number = str((await StoredDeadLetters(pool).page(DeadLetterFilter(code="bad_payload")))[0].id)
    assert "accepted" in await run("replay", number, *here)
    out = await run("replay", "--device", "d1", "--since", "2020-01-01T00:00:00+01:00", *here, "--json")
    assert json.loads(out) == {"replayed": 2, "refused": 0}
    assert [taken.device for taken in door.intake.taken] == ["d2", "d1", "d1"]
    assert len(await StoredDeadLetters(pool).page(DeadLetterFilter(replayed=True))) == 3
    door.intake.fail(BadPayload("no JSON"))
    await run("replay", number, *here, code=1, err="no JSON")
    await run("replay", "4711", *here, code=1, err="there is no dead letter 4711")
    monkeypatch.setenv(KEY_ENV, "reader")
    await run("replay", "--all", *here, code=1, err="only an admin key may do this")
    await run("replay", "--all", "--url", f"http://127.0.0.1:{free_port()}", code=1, err="is the gateway running?")


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dead_letters_app(["--help"])
    assert "gateway dead-letters replay --device" in capsys.readouterr().out
