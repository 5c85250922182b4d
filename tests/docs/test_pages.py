"""README and docs as a reader uses them: commands, samples, links, queries."""

import asyncio
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from cyclopts import App, CycloptsError, MissingArgumentError

from gateway.app.cli.main import app as gateway_app
from gateway.core.settings_file import load
from gateway.domain.conditions import find
from gateway.domain.dead_letters import StoredDeadLetter
from gateway.domain.device_import import ImportResult, tally
from gateway.domain.devices import DeviceStatus
from gateway.domain.history import Series as Stored
from gateway.domain.history import SeriesName
from gateway.domain.layouts import Layouts
from gateway.domain.ledger import Ledger
from gateway.domain.model import Kind, Receipt
from gateway.ingest import wire
from gateway.services.dead_letter_replay import Replayed, ReplayReport
from gateway.telemetry.rates import Backlog, Rates, RateSeries
from gateway.timescale.registry.devices import Reported
from gateway.web.handlers.health import Readiness
from gateway.web.handlers.history_formats import series_json
from gateway.web.handlers.newest import parse_query
from simulator.cli.app import app as simulator_app
from simulator.plan.plan import Plan
from simulator.plan.scenario import parse as parse_scenario
from tests.docs.pages import PAGES, ROOT, Block, blocks, shell_lines, text_of, words
from tests.docs.test_reference import codes_below
from tests.servers.databases import Database

APPS = {"gateway": gateway_app, "simulator": simulator_app}
READING = {"value", "ts", "kind", "age_ms"}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ASSIGNMENT = re.compile(r"\w+=\S*")


def commands() -> list[tuple[str, list[str]]]:
    """Every gateway and simulator command in a bash block, as (page, tokens)."""
    found = []
    for page, line in shell_lines():
        for part in re.split(r";|&&", line):
            tokens = shlex.split(part)
            while tokens and _ASSIGNMENT.fullmatch(tokens[0]):
                tokens.pop(0)
            if tokens and Path(tokens[0]).name in APPS:
                found.append((page, [Path(tokens[0]).name, *tokens[1:]]))
    return found


def parse(tokens: list[str]) -> None:
    """Parse a command line as the program would, without running it. Raises CycloptsError."""
    app: App = APPS[tokens[0]]
    app.parse_args(tokens[1:], exit_on_error=False, print_error=False)


def test_there_are_commands_to_look_at() -> None:
    assert {tokens[0] for _, tokens in commands()} == set(APPS)


@pytest.mark.parametrize(("page", "tokens"), commands(), ids=lambda x: " ".join(x) if isinstance(x, list) else x)
def test_a_command_in_a_block_is_one_that_can_be_given(page: str, tokens: list[str]) -> None:
    parse(tokens)


def test_commands_in_the_text_exist() -> None:
    seen = set()
    for page, word in words():
        tokens = word.split()
        if len(tokens) > 1 and tokens[0] in APPS and not tokens[1].startswith("{"):
            seen.add(word)
            try:
                parse(tokens)
            except MissingArgumentError:
                continue  # `gateway device add` names a command; what it needs is not the text's business
            except CycloptsError as error:
                pytest.fail(f"{page}: {word}: {error}")
    assert {"gateway serve", "gateway doctor", "gateway metric declare-int"} <= seen


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    named = {tokens[1] for _, line in shell_lines() if (tokens := line.split())[0] == "make"}
    named |= {tokens[1] for _, word in words() if (tokens := word.split()) and tokens[0] == "make"}
    assert {"up", "test"} <= named <= targets


def test_curl_goes_where_the_end_to_end_test_can_send_it() -> None:
    calls = [line for _, line in shell_lines() if line.startswith("curl")]
    assert len(calls) >= 5
    for call in calls:
        assert "http://127.0.0.1:8080/" in call, call
        assert 'Authorization: Bearer $KEY"' in call, call
        assert "Content-Type" not in call, call  # what curl calls the body of -d is read as JSON


def decoded(block: Block, *, device: str | None) -> int:
    result = wire.decode(
        block.text.encode(), None, Layouts(), device=device, received_us=1_732_277_001_000_000, max_readings=100
    )
    assert not result.refusals, block
    return result.batch.readings


def check_reading(reading: dict[str, Any]) -> None:
    assert set(reading) == READING
    assert isinstance(reading["age_ms"], int)


def check_fleet(sample: dict[str, Any]) -> None:
    parts = {"now", "ready", "status", "degraded", "role", "parts", "rates", "history", "waiting", "ledger", "devices"}
    assert set(sample) == parts
    for field, kind in {"rates": Rates, "history": RateSeries, "waiting": Backlog, "ledger": Ledger}.items():
        assert msgspec.to_builtins(msgspec.convert(sample[field], kind)) == sample[field]


def about_letters(block: Block) -> bool:
    return block.role in {"letters", "replayed", "run"}


def about_history(block: Block) -> bool:
    return block.role in {"rows", "buckets", "chart"}


def about_devices(block: Block) -> bool:
    return block.role in {"device", "imported"}


def about_others(block: Block) -> bool:
    return not about_letters(block) and not about_history(block) and not about_devices(block)


@pytest.mark.parametrize("block", [*filter(about_devices, blocks("json"))], ids=lambda block: block.role)
def test_json_about_devices_is_what_it_says(block: Block) -> None:
    sample = msgspec.json.decode(block.text)
    if block.role == "device":
        assert set(sample) == {*DeviceStatus.__struct_fields__, "metrics"}
        assert [set(metric) for metric in sample["metrics"]] == [set(Reported.__struct_fields__)]
    else:
        results = msgspec.convert(sample.pop("results"), list[ImportResult])
        assert tally(results) == sample
        assert {result.code for result in results} <= {None, *codes_below("Problems")}


@pytest.mark.parametrize("block", [*filter(about_history, blocks("json"))], ids=lambda block: block.role)
def test_json_about_history_is_what_it_says(block: Block) -> None:
    sample = msgspec.json.decode(block.text)
    assert {"device", "from", "to"} <= set(sample)
    assert sample["next_cursor"] is None
    if block.role == "rows":
        assert decoded(block._replace(text=msgspec.json.encode(sample["readings"]).decode()), device=None)
        return
    for series in sample["series"]:
        name = SeriesName(series["device"], series["metric"], Kind(series["kind"]))
        columns = {column: series[column] for column in sample.get("fn", ["value"])}
        made = Stored(name, [ms * 1000 for ms in series["ts"]], columns)
        assert series_json(made, bigint=False) == series


@pytest.mark.parametrize("block", [*filter(about_letters, blocks("json"))], ids=lambda block: block.role)
def test_json_about_dead_letters_is_what_it_says(block: Block) -> None:
    sample = msgspec.json.decode(block.text)
    if block.role == "letters":
        [letter] = sample["dead_letters"]
        assert set(sample) == {"dead_letters", "next_cursor"}
        assert set(letter) == {*StoredDeadLetter.__struct_fields__, "encoding"}
        msgspec.convert(letter | {"payload": b""}, StoredDeadLetter)
        assert (letter["size"], letter["encoding"]) == (len(letter["payload"]), "utf-8")
        assert decoded(block._replace(text=letter["payload"]), device=letter["device"])
    else:
        kind = Replayed if block.role == "replayed" else ReplayReport
        assert msgspec.to_builtins(msgspec.convert(sample, kind)) == sample


@pytest.mark.parametrize("block", [*filter(about_others, blocks("json"))], ids=lambda b: f"{b.page}-{b.role}")
def test_json_is_what_it_says(block: Block) -> None:
    sample = msgspec.json.decode(block.text)
    match block.role:
        case "ingest":
            assert decoded(block, device=None)
        case "ingest-device":
            assert decoded(block, device="d1")
        case "receipt":
            receipt = msgspec.json.decode(block.text, type=Receipt, strict=True)
            assert sum(error.readings for error in receipt.errors) == receipt.refused + receipt.conflicts
            assert {error.code for error in receipt.errors} <= set(codes_below("Reasons"))
        case "problem":
            assert sample["code"] in codes_below("Problems")
            assert sample["type"] == f"urn:device-gateway:problem:{sample['code']}"
        case "state":
            assert set(sample) == {"device", "metrics", "source"}
            check_reading(sample["metrics"]["temperature"])
        case "query":
            assert parse_query(block.text.encode()).devices
        case "states":
            assert set(sample) == {"states", "missing", "next_cursor"}
            check_reading(sample["states"]["d1"]["metrics"]["temperature"])
        case "health":
            ready = msgspec.convert(sample, Readiness)
            assert [(each.part, each.what) for each in ready.degraded] == [
                (each.part, each.what) for each in find(sample["parts"])
            ]
            assert set(sample["parts"]) == {"database", "redis", "mqtt", "queue", "spool"}
        case "fleet":
            check_fleet(sample)
        case _:
            pytest.fail(f"say after ```json what this is: {block}")


def toml(role: str) -> list[Block]:
    return [block for block in blocks("toml") if block.role == role]


@pytest.mark.parametrize("block", toml("scenario"), ids=lambda block: block.page)
def test_a_scenario_can_be_run(block: Block) -> None:
    plan = Plan(scenario=parse_scenario(block.text.encode(), where=block.page), run="x", start_ms=0)
    assert plan.parts()


@pytest.mark.parametrize("block", toml(""), ids=lambda block: block.page)
def test_a_settings_file_can_be_loaded(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(block.text)
    settings = load(path, {})
    for branch, values in tomllib.loads(block.text).items():
        for name, value in values.items():
            assert getattr(getattr(settings, branch), name) == value


@pytest.mark.parametrize("block", blocks("sql"), ids=lambda block: block.page)
async def test_a_query_can_be_asked(block: Block, plain_db: Database) -> None:
    connection = await asyncpg.connect(plain_db.url)
    async with asyncio.timeout(10):
        assert await connection.fetch(block.text) == []
        await connection.close()


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_pages_are_reached_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in _LINK.findall(text_of("README.md"))}
    assert set(PAGES) - {ROOT / "README.md"} <= linked
