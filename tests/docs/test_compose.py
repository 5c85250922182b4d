"""docker-compose.yml and .env.example: no engine runs here, so they are read and held against the code."""

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.core.clock import SystemClock
from gateway.core.settings import Settings
from gateway.core.settings_file import ENV_PREFIX, load
from gateway.ingest.admission.auth import TokenAuthenticator
from gateway.mqtt.address import parse_address
from gateway.state.publisher import MAX_PENDING_BYTES
from gateway.web.lifetime import CLOSE_SECS
from simulator.cli.app import app as simulator_app
from simulator.core.addresses import Broker
from simulator.plan.options import RunOptions
from tests.docs.pages import ROOT, text_of
from tests.fakes.credentials import MemoryCredentials

PINNED = re.compile(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*")
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
OURS = ("gateway", "simulator")
OWN_BYTES, TMP_BYTES = 200 * 2**20, 64 * 2**20
"""What a worker takes that has nothing to do, and what may lie in /tmp of a container of ours."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text_of("docker-compose.yml"))
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """What deploy/make-env writes."""
    return dict(line.split("=", 1) for line in make_env(tmp_path).splitlines() if line and not line.startswith("#"))


def make_env(folder: Path) -> str:
    """Run deploy/make-env in a copy of the checkout; return the file it wrote."""
    (folder / "deploy").mkdir(exist_ok=True)
    for name in (".env.example", "deploy/make-env"):
        (folder / name).write_text(text_of(name))
    done = subprocess.run(["sh", "deploy/make-env"], cwd=folder, capture_output=True, text=True, timeout=30, check=True)
    assert not done.stderr
    return (folder / ".env").read_text()


def fill(text: str, env: dict[str, str]) -> str:
    """Interpolate as compose does; a variable without a default must be there."""

    def value(match: re.Match[str]) -> str:
        name, operator, default = match.groups()
        found = env.get(name, "")
        assert found or operator == ":-", f"compose would stop: {name} {default}"
        return found or str(default)

    return _VARIABLE.sub(value, text)


def settings_of(service: dict[str, Any], env: dict[str, str], *, folder: Path) -> Settings:
    """The settings the gateway would have; an empty file, so that nobody's own gateway.toml has a say."""
    (folder / "empty.toml").touch()
    return load(folder / "empty.toml", environment(service, env))


def environment(service: dict[str, Any], env: dict[str, str]) -> dict[str, str]:
    return {name: fill(str(value), env) for name, value in service.get("environment", {}).items()}


def to_bytes(text: str) -> int:
    """Read a size as Docker, PostgreSQL and Valkey write it."""
    [(number, unit)] = re.findall(r"^(\d+)([kmg])b?$", text.lower())
    return int(number) << {"k": 10, "m": 20, "g": 30}[unit]


def memory_of(service: dict[str, Any], env: dict[str, str]) -> int:
    return to_bytes(fill(service["mem_limit"], env))


def mounts(service: dict[str, Any]) -> Iterator[list[str]]:
    return (mount.split(":") for mount in service.get("volumes", []))


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert PINNED.fullmatch(service["image"]), name
        assert "latest" not in service["image"], name
        assert ("build" in service) == (name in OURS)


def test_every_file_and_volume_that_is_mounted_exists(
    compose: dict[str, Any], services: dict[str, dict[str, Any]]
) -> None:
    used = set()
    for service in services.values():
        for source, target, *mode in mounts(service):
            assert target.startswith("/")
            if source.startswith("."):
                assert (ROOT / source).is_file(), source
                assert mode == ["ro"], f"{source} is ours and not for a container to change"
            else:
                used.add(source)
    assert used == set(compose["volumes"])


def test_every_network_and_dependency_exists(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert set(service.get("networks", [])) <= set(compose["networks"]), name
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for a health that {other} never has"


def test_only_http_and_mqtt_are_published_and_only_here(
    services: dict[str, dict[str, Any]], env: dict[str, str]
) -> None:
    published = {fill(port, env) for service in services.values() for port in service.get("ports", [])}
    assert published == {"127.0.0.1:8080:8080", "127.0.0.1:1883:1883"}


def test_the_environment_of_the_gateway_is_made_of_settings(
    services: dict[str, dict[str, Any]], env: dict[str, str], tmp_path: Path
) -> None:
    assert all(name.startswith(ENV_PREFIX) for name in services["gateway"]["environment"])
    settings = settings_of(services["gateway"], env, folder=tmp_path)
    assert settings != Settings()
    assert settings.devices.unknown == "auto"
    assert settings.http.host == "0.0.0.0"
    assert settings.http.workers == int(env["GATEWAY_HTTP__WORKERS"])
    assert parse_address(settings.mqtt.url).password == env["MQTT_GATEWAY_PASSWORD"]
    TokenAuthenticator(MemoryCredentials(clock=SystemClock()), admin_key=settings.auth.admin_key, clock=SystemClock())


def test_without_a_choice_unknown_devices_are_refused(services: dict[str, dict[str, Any]], env: dict[str, str]) -> None:
    del env["GATEWAY_DEVICES__UNKNOWN"]
    assert environment(services["gateway"], env)["GATEWAY_DEVICES__UNKNOWN"] == "refuse"


def test_addresses_name_services_on_a_shared_network(services: dict[str, dict[str, Any]], env: dict[str, str]) -> None:
    for name in OURS:
        values = environment(services[name], env).values()
        hosts = {match[1] for value in values if (match := re.match(r"\w+://(?:[^@]*@)?([a-z]+):\d+", value))}
        assert hosts
        for host in hosts:
            assert set(services[host]["networks"]) & set(services[name]["networks"]), f"{name} cannot reach {host}"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\$\{(\w+):\?", text_of("docker-compose.yml")))))
def test_a_missing_secret_stops_compose_with_the_way_out(name: str, env: dict[str, str]) -> None:
    uses = re.findall(rf"\$\{{{name}[^}}]*\}}", text_of("docker-compose.yml"))
    assert uses
    assert all(use == f"${{{name}:?is empty or not set; run deploy/make-env first}}" for use in uses)
    assert env[name]


def test_every_variable_is_explained_in_the_example(env: dict[str, str]) -> None:
    assert {match[0] for match in _VARIABLE.findall(text_of("docker-compose.yml"))} == set(env)


def test_secrets_are_fresh_random_and_private(tmp_path: Path) -> None:
    first = make_env(tmp_path)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    secrets = re.findall(r"^\w+=([0-9a-f]{48})$", first, re.MULTILINE)
    assert len(set(secrets)) == len(re.findall(r"^\w+=$", text_of(".env.example"), re.MULTILINE)) == 4
    again = subprocess.run(["sh", "deploy/make-env"], cwd=tmp_path, capture_output=True, timeout=30, check=False)
    assert again.returncode == 1
    assert (tmp_path / ".env").read_text() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [".env", ".env.example", "deploy"], "no draft is left"


def test_our_containers_have_no_more_rights_than_they_need(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS:
        service = services[name]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"]), name
    for name, service in services.items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not {"privileged", "cap_add", "pid", "ipc"} & set(service), name
        assert service["read_only"] is True, name
        if name != "mqtt-users":  # it gives a file away, and ends
            assert service["cap_drop"] == ["ALL"], name
            assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), f"{name} cannot become another"


def test_every_container_is_bounded_in_memory_and_processes(
    services: dict[str, dict[str, Any]], env: dict[str, str]
) -> None:
    for name, service in services.items():
        assert 2**25 <= memory_of(service, env) <= 2**33, name
        assert 0 < service["pids_limit"] <= 1024, name


def test_the_memory_of_each_suffices_for_what_its_settings_let_it_hold(
    services: dict[str, dict[str, Any]], env: dict[str, str], tmp_path: Path
) -> None:
    settings = settings_of(services["gateway"], env, folder=tmp_path)
    worker = settings.queue.max_bytes + settings.http.max_inflight_bytes + MAX_PENDING_BYTES + OWN_BYTES
    assert memory_of(services["gateway"], env) >= settings.http.workers * worker + TMP_BYTES
    command = services["valkey"]["command"]
    maxmemory = to_bytes(command[command.index("--maxmemory") + 1])
    assert memory_of(services["valkey"], env) >= 2 * maxmemory, "it forks to write its file anew"
    kept = settings.http.idempotency_bytes + settings.live.replay_bytes
    assert kept <= maxmemory / 4, "the rest is for the newest state"
    buffers = next(fill(option, env) for option in services["database"]["command"] if "shared_buffers" in option)
    assert memory_of(services["database"], env) >= 3 * to_bytes(buffers.partition("=")[2])
    [queued] = re.findall(r"^max_queued_bytes (\d+)$", text_of("deploy/mosquitto/mosquitto.conf"), re.MULTILINE)
    assert memory_of(services["mqtt"], env) >= 1.5 * int(queued)


def test_the_gateway_is_given_time_to_stop(
    services: dict[str, dict[str, Any]], env: dict[str, str], tmp_path: Path
) -> None:
    http = settings_of(services["gateway"], env, folder=tmp_path).http
    given = int(services["gateway"]["stop_grace_period"].removesuffix("s"))
    assert given > http.drain_secs + http.grace_secs + CLOSE_SECS


def test_the_simulator_is_asked_for_what_it_can_do(services: dict[str, dict[str, Any]], env: dict[str, str]) -> None:
    simulator = services["simulator"]
    assert simulator["profiles"] == ["simulator"]
    assert simulator["entrypoint"] == ["simulator"]
    given = environment(simulator, env)
    assert set(given) == {"SIMULATOR_URL", "SIMULATOR_MQTT", "SIMULATOR_KEY", "SIMULATOR_DATABASE"}
    assert Broker.parse(given["SIMULATOR_MQTT"]).password == env["MQTT_SIMULATOR_PASSWORD"]
    command, bound, _ = simulator_app.parse_args(simulator["command"], exit_on_error=False, print_error=False)
    assert command.__name__ == "run"
    options = bound.arguments["options"]
    assert isinstance(options, RunOptions)
    assert options.load.transport == "mixed"
