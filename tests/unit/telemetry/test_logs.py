"""Lines as they reach stderr."""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
import structlog

from gateway.core.settings import LogSettings
from gateway.telemetry import events, logs
from gateway.telemetry.dedupe import Fold

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(name="lines")
def captured(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    as_before, out = structlog.get_config(), io.BytesIO()
    monkeypatch.setattr(events, "_fold", Fold(1.0, clock=lambda: 0.0))
    logs.configure(LogSettings(), out=out)
    yield lambda: [orjson.loads(line) for line in out.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**as_before)


def test_a_happening_is_one_json_line(lines: Lines) -> None:
    events.worker_draining("w", 0.5)
    [line] = lines()
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "Stopping: not ready any more, serving what is in hand.",
        "name": "worker_draining",
        "worker": "w",
        "secs": 0.5,
    }


def test_a_dead_letter_says_whose_it_is(lines: Lines) -> None:
    events.dead_lettered("mqtt", "bad_value", device="d1", topic="devices/d1/readings\x1b[2J" + "x" * 5000)
    [line] = lines()
    assert (line["name"], line["source"], line["code"], line["count"]) == ("dead_lettered", "mqtt", "bad_value", 1)
    assert line["device"] == "d1"
    assert line["topic"].startswith("devices/d1/readings\\u001b[2Jxxx")
    assert len(line["topic"]) < 250


def test_what_is_less_severe_than_the_setting_is_left_out(lines: Lines) -> None:
    events.say("debug", "x", "Not said.")
    assert lines() == []


def test_a_happening_that_repeats_is_folded_and_kinds_of_it_apart(lines: Lines) -> None:
    for _ in range(5):
        events.overloaded("queue.max_rows")
    events.overloaded("queue.max_bytes")
    assert [line["limit"] for line in lines()] == ["queue.max_rows", "queue.max_bytes"]


def test_a_mistake_of_ours_has_its_traceback_in_one_line(lines: Lines) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError as exc:
        events.http_failed("readings", "id-1", exc)
    [line] = lines()
    assert "RuntimeError: broken" in line["exception"]
    assert line["request_id"] == "id-1"


def test_values_that_json_does_not_know_are_shown_as_they_print(lines: Lines) -> None:
    events.say("error", "odd", "Odd.", value={1: object}, data=b"\xff")
    assert lines()[0]["data"] == "b'\\xff'"


def test_bytes_that_are_no_text_are_shown_and_cost_no_line(lines: Lines) -> None:
    structlog.get_logger().warning("Odd.", host=b"\xff".decode(errors="surrogateescape"))
    assert lines()[0]["host"] == "?"


def test_lines_of_libraries_are_json_too_and_folded_by_their_place(lines: Lines) -> None:
    for n in range(3):
        logging.getLogger("asyncpg").warning("lost %s", n)
    logging.getLogger("asyncpg").debug("never")
    [line] = lines()
    assert (line["event"], line["logger"], line["level"]) == ("lost 0", "asyncpg", "warning")


def test_an_access_line_keeps_its_facts_and_is_never_folded(lines: Lines) -> None:
    for _ in range(2):
        facts = {"host": "h", "request": "GET /livez", "status": 200, "byte": 18, "duration": " 0.1ms"}
        logging.getLogger("sanic.access").info("", extra=facts)
    assert [(line["request"], line["status"]) for line in lines()] == [("GET /livez", 200)] * 2


def test_nobody_listening_is_no_reason_to_fail(lines: Lines) -> None:
    class Gone(io.BytesIO):
        def write(self, _: object) -> int:
            raise BrokenPipeError

    logs.configure(LogSettings(), out=Gone())
    events.worker_stopped("w")
    logging.getLogger("asyncpg").warning("lost")
    assert lines() == []
