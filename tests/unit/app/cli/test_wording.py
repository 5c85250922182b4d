"""What commands say: options, not parameters of the HTTP API."""

import re
import subprocess
import sys

import pytest

from gateway.app.cli.wording import in_options
from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import to_wanted as letters_wanted
from gateway.domain.devices import to_wanted as devices_wanted


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"code": "A B"}, "--code 'A B' is no code"),
        ({"source": "?"}, "--source '?' is no source"),
        ({"since": "noon"}, "--since 'noon' is no moment"),
        ({"device": "\0"}, "cannot name a device"),
    ],
)
def test_filters_are_named_as_options(filters: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        letters_wanted(**filters)
    said = in_options(caught.value.message)
    assert words in said
    assert "=" not in said


def test_tags_are_named_as_options() -> None:
    with pytest.raises(BadRequest) as caught:
        devices_wanted(prefix="", tags=["k:" + "v" * 300], enabled=None)
    assert in_options(caught.value.message).startswith("no device can have --tag ")


def test_the_option_for_the_database_is_named_where_it_was_given() -> None:
    assert in_options("database.url cannot be read", database=True) == "--database cannot be read"
    assert in_options("database.url cannot be read") == "database.url cannot be read"


@pytest.mark.parametrize("program", ["gateway", "simulator"])
def test_help_describes_each_command(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", program, "--help"], capture_output=True, text=True, check=True)
    names = re.findall(r"^│ ([a-z][a-z-]+) ", done.stdout, re.MULTILINE)
    described = re.findall(r"^│ ([a-z][a-z-]+) +[A-Z]", done.stdout, re.MULTILINE)
    assert len(names) >= 10
    assert described == names, done.stdout


def test_settings_are_whole_in_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "settings"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "80", "GATEWAY_MQTT__URL": "mqtt://u:hush@h"},
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("GATEWAY_HTTP__MAX_INFLATED_BYTES ") for line in lines)
    assert any("mqtt://u:***@h *" in line for line in lines)
    assert "hush" not in done.stdout
    assert any(line.endswith("Fewer if the limit of open files is lower.") for line in lines)
