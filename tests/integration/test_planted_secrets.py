"""No message repeats a credential: they are planted in every setting and option that may hold one, and looked for."""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.app.cli import main as gateway_cli
from gateway.app.worker import open_runtime
from gateway.core.errors import GatewayError
from gateway.core.settings_file import load, to_env
from simulator.cli import app as simulator_cli
from tests.e2e.serving import READY_SECS, Gateway, wait_for
from tests.servers import plain_http

SECRETS = ("s3cr3t", "31337")
NOBODY = "127.0.0.1:1"
TORN = (
    "{scheme}://u:s3cr3t/x@" + NOBODY,
    "{scheme}://u:31337/s3cr3t@" + NOBODY,
    "{scheme}://u:31337#s3cr3t@" + NOBODY,
    "{scheme}://u:31337?s3cr3t@" + NOBODY,
    "{scheme}://u:[s3cr3t@" + NOBODY,
    "{scheme}://u:s3cr3t@127.0.0.1:port",
    "{scheme}//u:s3cr3t@" + NOBODY,
    "u:s3cr3t@" + NOBODY,
    "{scheme}://u@x:s3cr3t@" + NOBODY,
    "{scheme}://" + NOBODY + "/d?user=u&pass%77ord=s3cr3t",
    "host=127.0.0.1 port=1 password='s3cr3t 31337'",
)
WHOLE = "{scheme}://u:s3cr3t%2331337@" + NOBODY
URLS = {"database.url": "postgresql", "redis.url": "redis", "mqtt.url": "mqtt"}
COMMANDS = (
    ("doctor",),
    ("migrate", "--plan"),
    ("settings",),
    ("settings", "--json"),
    ("device", "list"),
    ("key", "list"),
    ("state", "rebuild"),
)
Run = Callable[..., str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_TEST_DATABASE_URL", raising=False)
    for path, scheme in URLS.items():
        monkeypatch.setenv(to_env(path), WHOLE.format(scheme=scheme))
    monkeypatch.setenv("GATEWAY_AUTH__ADMIN_KEY", "s3cr3t")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line and return all that it says."""

    def call(main: Callable[[], None], *words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["it", *words])
        with suppress(SystemExit):
            main()
        said = "".join(capfd.readouterr())
        assert said, words
        assert "Traceback" not in said, said
        for secret in SECRETS:
            assert secret not in said, (words, said)
        return " ".join(said.split())

    return call


@pytest.mark.parametrize("path", list(URLS))
def test_no_command_repeats_the_password_of_a_url(path: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in (*TORN, WHOLE):
        monkeypatch.setenv(to_env(path), form.format(scheme=URLS[path]))
        for words in COMMANDS:
            run(gateway_cli.main, *words)


@pytest.mark.parametrize("path", list(URLS))
async def test_no_worker_repeats_it_when_it_cannot_start(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for form in TORN:
        monkeypatch.setenv(to_env(path), form.format(scheme=URLS[path]))
        settings = load()
        try:
            async with open_runtime(settings, "worker") as context:
                said = str((await context.health()).parts)
        except GatewayError as exc:
            said = f"{exc.message} {exc.__cause__}"
        assert not any(secret in said for secret in SECRETS), (form, said)


def test_a_running_gateway_logs_none_of_them(tmp_path: Path) -> None:
    gateway = Gateway({"GATEWAY_HTTP__DRAIN_SECS": "0", "GATEWAY_LOG__LEVEL": "debug"}, tmp_path / "gateway.log")
    gateway.launch()
    try:
        wait_for(gateway.is_alive, lambda: f"the gateway answers; its log:\n{gateway.log.read_text()}", secs=READY_SECS)
        said = "".join(plain_http.get(gateway.url + path).text for path in ("/readyz", "/metrics"))
        gateway.terminate()
    finally:
        gateway.close()
    said += gateway.log.read_text()
    assert "Database unavailable" in said
    assert not any(secret in said for secret in SECRETS), said


def test_options_of_commands_are_as_silent(run: Run) -> None:
    for form in (*TORN, WHOLE):
        url = form.format(scheme="postgresql")
        said = run(gateway_cli.main, "device", "list", "--database", url)
        assert "database.url" not in said, "it was the option"
        run(gateway_cli.main, "device", "list", f"--databse={url}")
        run(gateway_cli.main, "ledger", "--url", form.format(scheme="http"))


@pytest.mark.parametrize("content", [b"aa s3cr3t", b"s3cr3t\nb\n", b"s3cr3t\xff", b"", b"s3cr3t\x00"])
def test_a_key_file_that_holds_no_key_is_not_quoted(
    content: bytes, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "admin.key"
    path.write_bytes(content)
    words = ("ledger", "--url", f"http://{NOBODY}")
    assert "must hold one key and nothing else" in run(gateway_cli.main, *words, "--key-file", str(path))
    assert "must hold one key" in run(
        simulator_cli.main, "bench", "--database", "postgresql://", "--key-file", str(path)
    )
    text = content.decode("latin-1").replace("\0", "\n")
    if text:
        monkeypatch.setenv("GATEWAY_KEY", text + " x")
        assert "must hold one key and nothing else" in run(gateway_cli.main, *words)


def test_the_settings_file_is_not_quoted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in URLS:
        monkeypatch.delenv(to_env(path))
    for text in (
        '[auth]\nadmin_key = "s3cr3t\n',
        "[auth]\nadmin_key = s3cr3t\n",
        '[auth]\nadmin_key = ["s3cr3t"]\n',
        '[auth]\nkey = "s3cr3t"\n',
        'mqtt = "mqtt://u:s3cr3t@h"\n',
        '[mqtt]\nurl = {a = "mqtt://u:s3cr3t@h"}\n',
    ):
        (tmp_path / "gateway.toml").write_text(text)
        monkeypatch.delenv("GATEWAY_AUTH__ADMIN_KEY", raising=False)
        assert "cannot start" in run(gateway_cli.main, "settings")


SIMULATED = (
    ("--database", "postgresql", ("run", "--verify", "database", "--seconds", "1")),
    ("--database", "postgresql", ("bench",)),
    ("--url", "http", ("run", "--seconds", "1", "--verify", "none", "--transport", "http", "--devices", "1")),
    (
        "--mqtt",
        "mqtt",
        ("run", "--seconds", "1", "--verify", "none", "--transport", "mqtt", "--devices", "1"),
    ),
)


@pytest.mark.parametrize(("option", "scheme", "words"), SIMULATED)
def test_the_simulator_is_as_silent(option: str, scheme: str, words: tuple[str, ...], run: Run) -> None:
    for form in TORN:
        url = form.format(scheme=scheme)
        run(simulator_cli.main, *words, option, url)
        run(simulator_cli.main, *words, f"{option}x={url}")
    if option != "--mqtt":  # a broker that is away is waited for
        run(simulator_cli.main, *words, option, WHOLE.format(scheme=scheme))


def test_the_environment_of_the_simulator_is_not_in_its_help(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE", "REDIS", "URL", "MQTT", "KEY"):
        monkeypatch.setenv(f"SIMULATOR_{name}", WHOLE.format(scheme="x"))
    monkeypatch.setattr(sys, "argv", ["simulator", "bench", "--help"])
    monkeypatch.setattr("sys.exit", lambda _code: None)
    assert "SIMULATOR_DATABASE" in run(simulator_cli.main, "bench", "--help")
