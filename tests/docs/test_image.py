"""Dockerfile, its health check and constraints.txt: what can be said of them without an engine."""

import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import requires
from pathlib import Path

import pytest

from gateway.app.cli.main import app
from gateway.app.dev_servers.ports import free_port
from tests.docs.pages import ROOT, text_of

HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"


@contextmanager
def answering(status: int) -> Iterator[tuple[int, list[str]]]:
    """A server whose every answer has this status; yields its port and the paths it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="answering", daemon=True)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join(10)


def check(port: int) -> subprocess.CompletedProcess[str]:
    env = {"GATEWAY_HTTP__PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run(
        [sys.executable, str(HEALTHCHECK)], env=env, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_health_is_what_readyz_says(status: int, code: int) -> None:
    with answering(status) as (port, asked):
        done = check(port)
    assert done.returncode == code, done
    assert asked == ["/readyz"]
    assert not done.stderr


def test_nobody_there_is_not_healthy() -> None:
    done = check(free_port())
    assert (done.returncode, done.stderr) == (1, "")
    assert "no answer" in done.stdout


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of this name, in order."""
    text = text_of("Dockerfile").replace("\\\n", " ")
    return [line.split(maxsplit=1)[1] for line in text.splitlines() if line.startswith(f"{name} ")]


def test_bases_are_pinned_and_the_last_stage_only_copies() -> None:
    (base,) = instructions("ARG")
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", base)
    assert {line.split()[0] for line in instructions("FROM")} == {"python:${PYTHON}"}
    last = text_of("Dockerfile").rpartition("\nFROM ")[2]
    assert "\nRUN " not in last
    assert [line.split()[0] for line in instructions("COPY") if "--from" in line] == ["--from=build"] * 2


def test_it_does_not_run_as_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions("USER")[-1])


def test_it_starts_a_command_that_exists() -> None:
    (entry,), (command,) = instructions("ENTRYPOINT"), instructions("CMD")
    assert entry == '["gateway"]'
    app.parse_args(tomllib.loads(f"x = {command}")["x"], exit_on_error=False, print_error=False)


def test_what_is_copied_exists_and_is_let_in() -> None:
    allowed = {line.removeprefix("!") for line in text_of(".dockerignore").splitlines() if line.startswith("!")}
    copied = {part for line in instructions("COPY") if "--from" not in line for part in shlex.split(line)[:-1]}
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_the_health_check_lies_where_it_is_called() -> None:
    assert "COPY deploy/healthcheck.py /opt/gateway/healthcheck.py" in text_of("Dockerfile")
    assert text_of("docker-compose.yml").count("/opt/gateway/healthcheck.py") == 1
    assert text_of("Dockerfile").count("/opt/gateway/healthcheck.py") == 2


def pins() -> dict[str, str]:
    lines = [line for line in text_of("constraints.txt").splitlines() if line and not line.startswith("#")]
    return {to_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def to_name(requirement: str) -> str:
    """The normalised name of a requirement (PEP 503)."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert {to_name(one) for one in wanted} - {to_name(project["name"])} <= set(pins())


def test_what_carries_swagger_ui_needs_nothing_else() -> None:
    """That is why it is the one: docs/architecture.md."""
    assert not requires("offapi")


def test_the_constraints_hold_versions_and_nothing_of_a_machine() -> None:
    for line in text_of("constraints.txt").splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[\w.+]+", line), line


def test_the_tests_run_with_the_pinned_versions() -> None:
    frozen = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    installed = {to_name(name): version for name, _, version in (x.partition("==") for x in frozen.stdout.split())}
    differing = {name: (pin, installed[name]) for name, pin in pins().items() if installed.get(name, pin) != pin}
    assert not differing


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("name", ["deploy/make-env", "deploy/mosquitto/make-passwords.sh"])
def test_scripts_are_sound_shell(name: str) -> None:
    path = ROOT / name
    assert path.stat().st_mode & 0o111, "executable"
    assert Path(path).read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", str(path)], check=True, timeout=10)
