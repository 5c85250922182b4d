import os
import queue
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import asyncpg
import paho.mqtt.client as paho
import pytest
import redis.asyncio
from paho.mqtt.enums import CallbackAPIVersion

from gateway.app.dev_servers.child_process import children_of, running, wait_until
from gateway.app.dev_servers.data_folder import unprivileged_user
from gateway.app.dev_servers.stack import LocalStack
from gateway.core.errors import LocalStackError
from tests.local.conftest import Place

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root has a user to give up")
DEADLINE = 20.0


def stack_of(place: Place, *, mqtt_port: int = 0) -> LocalStack:
    return LocalStack(place.folder, mqtt_port=mqtt_port, base=place.base)


async def remember(stack: LocalStack) -> tuple[int, int]:
    """Leave a mark in the database and in Valkey; how many there are now."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        await connection.execute("create table if not exists marks ()")
        await connection.execute("insert into marks default values")
        rows = await connection.fetchval("select count(*) from marks")
    finally:
        await connection.close()
    async with redis.asyncio.from_url(stack.redis_url) as client:
        return rows, await client.incr("marks")


@pytest.fixture(params=["open_place", "closed_place"])
def place(request: pytest.FixtureRequest) -> Place:
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, Place)
    return chosen


async def test_a_second_start_has_the_data_of_the_first(place: Place) -> None:
    before = set(children_of(os.getpid()))  # servers of the session, started by other tests
    with stack_of(place) as stack:
        first = set(children_of(os.getpid())) - before
        assert len(first) == 3
        assert await remember(stack) == (1, 1)
    assert not first & set(children_of(os.getpid()))
    with stack_of(place) as stack:
        assert await remember(stack) == (2, 2)


@needs_root
def test_the_servers_give_root_up(place: Place) -> None:
    before = set(children_of(os.getpid()))
    with stack_of(place):
        servers = set(children_of(os.getpid())) - before
        assert len(servers) == 3
        for pid in servers:
            fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert set(fields["Uid"].split()) == {str(unprivileged_user().uid)}
            assert set(fields["Gid"].split()) == {str(unprivileged_user().gid)}
            assert fields["Groups"].strip() == ""
            assert int(fields["CapEff"], 16) == 0


@needs_root
def test_data_that_its_user_could_not_walk_to_is_kept_elsewhere_and_said_so(closed_place: Place) -> None:
    with stack_of(closed_place) as stack:
        home = (closed_place.folder / "home").resolve()
        assert home.parent == closed_place.base
        assert (home / "postgres" / "data" / "PG_VERSION").exists()
        assert [str(home) in note for note in stack.notes] == [True]
    assert stat.S_IMODE(closed_place.folder.parent.stat().st_mode) == 0o700


def test_data_stays_in_the_folder_where_it_can(open_place: Place) -> None:
    with stack_of(open_place) as stack:
        assert stack.notes == ()
        assert (open_place.folder / "postgres" / "data" / "PG_VERSION").exists()
        assert stat.S_IMODE((open_place.folder / "run").stat().st_mode) == 0o700
        assert not open_place.base.exists() or not list(open_place.base.glob("stack-*"))


def test_its_urls_lie_in_a_private_file_while_it_runs(open_place: Place) -> None:
    with stack_of(open_place) as stack:
        file = open_place.folder / "stack.env"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines())
        assert lines == {
            "GATEWAY_DATABASE__URL": stack.database_url,
            "GATEWAY_REDIS__URL": stack.redis_url,
            "GATEWAY_MQTT__URL": stack.mqtt_url,
            "GATEWAY_SPOOL__DIR": str(open_place.folder / "spool"),
        }
    assert not file.exists()


async def test_sockets_have_short_paths_however_deep_the_folder_is(tmp_path: Path, open_place: Place) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with stack_of(Place(deep / ".local", open_place.base)) as stack:
        assert await remember(stack) == (1, 1)


def test_devices_speak_mqtt_3_and_the_gateway_mqtt_5(open_place: Place) -> None:
    payload = b"x" * 300_000
    got: queue.Queue[bytes] = queue.Queue(maxsize=1)
    subscribed: queue.Queue[bool] = queue.Queue(maxsize=1)
    with stack_of(open_place) as stack, mqtt_client(stack.mqtt_url, paho.MQTTv5) as gateway:
        gateway.on_message = lambda _client, _userdata, message: got.put(bytes(message.payload))
        gateway.on_subscribe = lambda *_: subscribed.put(True)
        gateway.subscribe("devices/+/readings", qos=1)
        assert subscribed.get(timeout=DEADLINE)
        with mqtt_client(stack.device_mqtt_url, paho.MQTTv311) as device:
            device.publish("devices/d1/readings", payload, qos=1).wait_for_publish(DEADLINE)
            assert got.get(timeout=DEADLINE) == payload


@contextmanager
def mqtt_client(url: str, protocol: int) -> Iterator[paho.Client]:
    host, _, port = url.removeprefix("mqtt://").partition(":")
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=protocol)  # type: ignore[arg-type]  # an enum's plain number
    client.connect(host, int(port))
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("how", [SIGKILL, SIGTERM, SIGINT])
async def test_no_server_outlives_the_process_that_started_it(place: Place, how: Signals) -> None:
    with other_process(place) as process:
        servers = children_of(process.pid)
        assert len(servers) == 3
        process.send_signal(how)
        process.wait(DEADLINE)
        with stack_of(place) as stack:  # at once: it waits for the old servers itself
            assert not any(map(running, servers))
            assert await remember(stack) == (1, 1)


def test_an_ordinary_user_can_run_it(open_place: Place) -> None:
    """As root: in a user namespace where we are nobody, without any capability."""
    as_nobody = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--"] if AS_ROOT else []
    if as_nobody and subprocess.run([*as_nobody, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not allowed here")
    with other_process(open_place, *as_nobody) as process:
        assert len(children_of(process.pid)) == 3
        assert not open_place.base.exists()


@contextmanager
def other_process(place: Place, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """A running stack in a process of its own."""
    argv = [*prefix, sys.executable, "-m", "tests.local.running", str(place.folder), str(place.base)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("postgresql://")
            yield process
        finally:
            servers = children_of(process.pid)
            process.kill()
            process.wait(DEADLINE)
            wait_until(lambda: not any(map(running, servers)), timeout=DEADLINE, what="the servers to end")


def test_a_second_stack_on_a_folder_is_refused_by_name(open_place: Place) -> None:
    with other_process(open_place) as process:
        with pytest.raises(LocalStackError, match=rf"already runs on .*\.local \(pid {process.pid}\)"):
            stack_of(open_place).__enter__()
        assert len(children_of(process.pid)) == 3


async def test_a_taken_port_is_named_with_its_setting_and_leaves_nothing(open_place: Place) -> None:
    before = children_of(os.getpid())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalStackError, match=rf"port {port} .*GATEWAY_MQTT__PORT"):
            stack_of(open_place, mqtt_port=port).__enter__()
    assert children_of(os.getpid()) == before
    with stack_of(open_place, mqtt_port=port) as stack:  # the folder's lock was given back, and the port is used
        assert stack.device_mqtt_url == f"mqtt://127.0.0.1:{port}"


def test_when_one_server_cannot_start_the_others_are_stopped(open_place: Place) -> None:
    with stack_of(open_place):
        pass
    dump = open_place.folder / "valkey" / "dump.rdb"
    dump.write_bytes(b"this is not a dump")
    before = children_of(os.getpid())
    with pytest.raises(LocalStackError, match=r"(?s)Valkey ended while starting.*valkey\.log"):
        stack_of(open_place).__enter__()
    assert children_of(os.getpid()) == before


def test_data_of_another_postgresql_is_refused_with_its_own_words(open_place: Place) -> None:
    with stack_of(open_place):
        pass
    (open_place.folder / "postgres" / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(LocalStackError, match=r"(?s)PostgreSQL ended while starting.*not compatible"):
        stack_of(open_place).__enter__()


def test_a_half_made_data_folder_is_not_taken_for_data(open_place: Place) -> None:
    with stack_of(open_place):
        pass
    data = open_place.folder / "postgres" / "data"
    data.rename(data.with_name("data.new"))  # as if killed within initdb
    with stack_of(open_place) as stack:
        assert stack.database_url
