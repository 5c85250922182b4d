"""What the commands print in a pipe: help that describes each command, settings that are whole."""

import re
import subprocess
import sys

import pytest


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
