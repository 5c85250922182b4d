"""README and docs as a newcomer reads them: every command, in order, against one fresh `gateway up --demo`.

Ports are others, loads are small and ids are looked up; otherwise a command runs as it stands.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.conftest import have
from tests.docs.pages import ROOT, Block, blocks, shell_lines, text_of
from tests.e2e.local_up import Up, up
from tests.e2e.serving import wait_for
from tests.servers.trixie import trixie

PAGES = ("README.md", "http-api.md", "mqtt.md", "operations.md", "simulator.md")
LEFT_OUT = {
    "make up": "it is what runs",
    "make test": "it is what this is a part of",
    "make shell": "what it sets is set here; a test of its own",
    "deploy/make-env": "tests/docs/test_compose.py runs it",
    "docker compose": "needs a Docker engine",
    "simulator run mqtt-10k": "ten thousand connections; tests/integration/simulated holds two thousand",
    "simulator run smart-city-10k --mqtt-connections 4000": "the same",
    "simulator run smart-city-10k --transport http --target influx": "needs InfluxDB: test_simulator_influx.py",
    "simulator compare influx.json gateway.json": "the same",
    "simulator demo": "runs until it is stopped; `gateway up --demo` starts it",
}
"""What is not run here, by how it begins, and why."""
SMALL = " --devices 20 --rate 200 --seconds 2"
CHANGED = {
    "simulator run smoke": SMALL,
    "simulator run smart-city-10k": SMALL,
    "simulator run --": SMALL,
    "simulator capacity": " --hold 1 --first 50 --most 100 --devices 20",
    "curl -sSN": " --max-time 1 || test $? -eq 28",
}
"""What is added to commands that begin so: the machine of the tests is small, and a stream has no end."""
SECS = 90.0


@pytest.fixture(scope="module", name="shell")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Shell"]:
    folder = tmp_path_factory.mktemp("walk")
    with have(lambda: nullcontext(trixie())) as root, up(folder / ".local", folder / "up.log") as stack:
        yield Shell(folder, stack, root.root)


class Shell:
    """A shell as `make shell` opens it, in the folder of a running `gateway up`."""

    def __init__(self, folder: Path, stack: Up, root: Path) -> None:
        self.folder = folder
        self.stack = stack
        programs = folder / "bin"
        programs.mkdir()
        publish = programs / "mosquitto_pub"
        publish.write_text(f'#!/bin/sh\nexec chroot {root} mosquitto_pub "$@"\n')
        publish.chmod(0o755)
        lines = (folder / ".local/stack.env").read_text().splitlines()
        self.env = os.environ | stack.ports | dict(line.split("=", 1) for line in lines)
        self.env |= {
            "PATH": f"{Path(sys.executable).parent}:{programs}:{os.environ['PATH']}",
            "SIMULATOR_URL": stack.url,
            "SIMULATOR_MQTT": f"127.0.0.1:{stack.ports['GATEWAY_MQTT__PORT']}",
        }

    def run(self, script: str) -> str:
        """Run it; what it says. Fails with all that it said."""
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECS,
        )
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        assert done.returncode == 0, f"{script}\nended with {done.returncode}\n{said}"
        return done.stdout

    def here(self, text: str) -> str:
        """The same, with the ports of this stack."""
        http, mqtt = self.stack.ports["GATEWAY_HTTP__PORT"], self.stack.ports["GATEWAY_MQTT__PORT"]
        text = re.sub(r"mosquitto_pub -h 127\.0\.0\.1(?: -p 1883)?", f"mosquitto_pub -h 127.0.0.1 -p {mqtt}", text)
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{http}").replace('"127.0.0.1", 1883', f'"127.0.0.1", {mqtt}')


def commands(page: str) -> list[str]:
    """The commands of a page, but for those that are left out."""
    lines = [line for name, line in shell_lines() if name == page]
    return [line for line in lines if not line.startswith(tuple(LEFT_OUT))]


def test_nothing_is_left_out_or_changed_that_is_not_there() -> None:
    lines = [line for page, line in shell_lines() if page in PAGES]
    for start in (*LEFT_OUT, *CHANGED):
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_order(shell: Shell, page: str) -> None:
    prepare(shell, page)
    for line in commands(page):
        answer = shell.run(f"KEY=$(cat .local/admin.key); {adapted(shell, line)}")
        if line.startswith("curl"):
            assert '"status":4' not in answer, f"{line}\n{answer}"
            assert answer, line


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in blocks("python") if not block.role], ids=lambda block: block.page)
def test_a_python_example_works(shell: Shell, block: Block) -> None:
    shell.run(f"python -c {shlex.quote(shell.here(block.text))}")
    device = re.search(r"devices/([\w-]+)/readings", block.text)
    assert device is not None
    wait_for(lambda: shell.stack.state(device[1]) != {}, lambda: f"{device[1]} has reported", secs=20)


def test_make_shell_knows_the_commands_and_the_stack(shell: Shell) -> None:
    """With a shell that reads its commands from a pipe."""
    target = re.search(r"^shell: .*\n((?:\t.*\n)+)", text_of("Makefile"), re.MULTILINE)
    assert target is not None
    script = target[1].replace("\t@", "").replace("\\\n", "").replace("$$", "$")
    script = script.replace("$(CURDIR)/$(BIN)", str(Path(sys.executable).parent))
    script = script.replace(
        'exec "${SHELL:-/bin/sh}"', "exec /bin/sh -c 'command -v gateway; command -v simulator; env'"
    )
    said = shell.run(f"unset GATEWAY_DATABASE__URL; {script}")
    assert said.splitlines()[:2] == [str(Path(sys.executable).parent / name) for name in ("gateway", "simulator")]
    assert f"GATEWAY_DATABASE__URL={shell.env['GATEWAY_DATABASE__URL']}" in said.splitlines()


def test_make_up_is_what_was_started() -> None:
    assert "exec $(BIN)/gateway up --demo\n" in (ROOT / "Makefile").read_text()


def prepare(shell: Shell, page: str) -> None:
    """What a page takes to be there."""
    if page == "operations.md":
        shell.run(shell.here("mosquitto_pub -h 127.0.0.1 -q 1 -t devices/d8/readings -m nonsense"))
        wait_for(lambda: "d8" in shell.run("gateway dead-letters list"), lambda: "the dead letter is there", secs=20)
        (shell.folder / "devices.csv").write_text("device,tag:site\npress-7,north\n")
    if page == "simulator.md":
        shell.run(f"simulator run {SMALL} --json before.json; cp before.json after.json")


def adapted(shell: Shell, line: str) -> str:
    """A command with the ports, ids and loads of here."""
    line = shell.here(line).replace("p99_ack<200ms", "p99_ack<60s")  # others use this machine, too
    if line.startswith("gateway key revoke"):
        newest = max(int(found) for found in re.findall(r"^\s*(\d+)\s", shell.run("gateway key list"), re.MULTILINE))
        return f"gateway key revoke {newest}"
    if line.startswith("gateway dead-letters show"):
        found = re.search(r"^\s*(\d+)\s", shell.run("gateway dead-letters list"), re.MULTILINE)
        assert found is not None
        return f"gateway dead-letters show {found[1]}"
    if line.startswith("gateway dead-letters replay"):
        return f"{line} --url {shell.stack.url}"
    more = next((more for start, more in CHANGED.items() if line.startswith(start)), "")
    options = [word for word in more.split() if word.startswith("--")]
    return re.sub("|".join([rf"{option} \S+" for option in options]) or "$", "", line) + more
