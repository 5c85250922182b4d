"""deploy/mosquitto: the files of docker-compose.yml, in a real broker; only port and folders are this test's."""

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from gateway.app.dev_servers.ports import free_port
from gateway.core.settings import MqttSettings
from gateway.mqtt.address import Address
from gateway.mqtt.connection import BrokerConnection, BrokerError
from gateway.mqtt.message import MqttMessage
from tests.builders.mqtt.parts import ScriptedIntake, asking_for_a_receipt, running
from tests.docs.pages import text_of
from tests.servers.errors import NoGroundError
from tests.servers.mosquitto import Mosquitto
from tests.servers.trixie import Trixie, trixie

DEPLOY = "deploy/mosquitto"
SUBSCRIPTION = "$share/gateway/devices/+/readings"
QUEUED = 1_500
"""More than mosquitto keeps by default."""
SECS = 20


class Deployed(Mosquitto):
    """A broker with the configuration of docker-compose.yml."""

    def _config(self) -> str:
        text = text_of(f"{DEPLOY}/mosquitto.conf")
        inside = str(self._inside(self.data))
        for ours, here in (
            ("listener 1883", f"listener {self.port} 127.0.0.1"),
            ("/mosquitto/auth/", f"{inside}/"),
            ("/mosquitto/config/", f"{inside}/"),
            ("/mosquitto/data/", f"{inside}/"),
        ):
            assert ours in text
            text = text.replace(ours, here)
        return text

    def make_passwords(self, **passwords: str) -> list[str]:
        """Run make-passwords.sh as the service mqtt-users does; return the users of the file."""
        script = self.data / "make-passwords.sh"
        shutil.copyfile(text_path("make-passwords.sh"), script)
        enter = [] if self.root is None else ["chroot", str(self.root)]
        env = {"PATH": os.environ["PATH"], **passwords}
        argv = [*enter, "sh", str(self._inside(script)), str(self._inside(self.data / "passwords"))]
        subprocess.run(argv, env=env, check=True, capture_output=True, timeout=30)
        lines = (self.data / "passwords").read_text().splitlines()
        assert not set(passwords.values()) & {line.partition(":")[2] for line in lines}, "hashed"
        return [line.partition(":")[0] for line in lines]


def text_path(name: str) -> Path:
    return Path(__file__).resolve().parents[2] / DEPLOY / name


@pytest.fixture(scope="module")
def broker() -> Iterator[Deployed]:
    try:
        yield from _in_root(trixie())
    except NoGroundError as error:
        program = shutil.which("mosquitto")
        if program is None or shutil.which("mosquitto_passwd") is None:
            pytest.skip(f"no mosquitto: it is not installed, and {error}")
        with tempfile.TemporaryDirectory() as folder:
            yield from _running(Deployed(Path(program), Path(folder), Path(folder) / "log", free_port()))


def _in_root(root: Trixie) -> Iterator[Deployed]:
    user = root.user("mosquitto")
    with root.folder(user) as folder:
        program = Path("/usr/sbin/mosquitto")
        yield from _running(Deployed(program, folder, folder / "log", free_port(), user=user, root=root.root))


def _running(broker: Deployed) -> Iterator[Deployed]:
    shutil.copyfile(text_path("acl"), broker.data / "acl")
    broker.make_passwords(MQTT_GATEWAY_PASSWORD="for-gateway", MQTT_SIMULATOR_PASSWORD="for-simulator")
    add_device(broker, "press-1", "for-press-1")
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


def add_device(broker: Deployed, name: str, password: str) -> None:
    """As docs/mqtt.md says."""
    enter = [] if broker.root is None else ["chroot", str(broker.root)]
    passwords = str(broker._inside(broker.data / "passwords"))
    subprocess.run([*enter, "mosquitto_passwd", "-b", passwords, name, password], check=True, timeout=30)


def client(broker: Deployed, user: str | None, password: str | None) -> aiomqtt.Client:
    version = aiomqtt.ProtocolVersion.V5
    return aiomqtt.Client("127.0.0.1", broker.port, username=user, password=password, protocol=version, timeout=SECS)


@asynccontextmanager
async def gateway(broker: Deployed, *, session_expiry_secs: int) -> AsyncIterator[asyncio.Queue[MqttMessage]]:
    """The gateway's own connection, which acknowledges as things come.

    Only one session may last: mosquitto gives every member of a shared subscription its part, present or not.
    """
    came: asyncio.Queue[MqttMessage] = asyncio.Queue()

    def take(message: MqttMessage) -> None:
        came.put_nowait(message)
        message.ack()

    address = Address("127.0.0.1", broker.port, "gateway", "for-gateway")
    link = BrokerConnection(
        address,
        take,
        client_id="gateway",
        receive_max=MqttSettings().receive_max,
        session_expiry_secs=session_expiry_secs,
    )
    await link.open(SUBSCRIPTION)
    try:
        yield came
    finally:
        await link.farewell()


async def publish(device: aiomqtt.Client, topic: str, payload: str) -> None:
    await device.publish(topic, payload, qos=1)


@pytest.mark.parametrize(
    ("user", "password"), [(None, None), ("press-1", "for-press-2"), ("press-2", "for-press-1"), ("gateway", "")]
)
async def test_nobody_comes_in_without_a_password(broker: Deployed, user: str | None, password: str | None) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed|[Bb]ad user"):
        async with client(broker, user, password):
            pass


async def test_the_gateway_with_another_password_says_why_it_cannot_connect(broker: Deployed) -> None:
    address = Address("127.0.0.1", broker.port, "gateway", "for-press-1")
    link = BrokerConnection(address, lambda _: None, client_id="wrong", receive_max=1, session_expiry_secs=0)
    with pytest.raises(BrokerError, match="connect"):
        await link.open(SUBSCRIPTION)


async def test_a_device_publishes_as_itself_and_as_nobody_else(broker: Deployed) -> None:
    async with gateway(broker, session_expiry_secs=0) as came, client(broker, "press-1", "for-press-1") as press:
        await publish(press, "devices/press-2/readings", "forged")
        await publish(press, "devices/press-1/readings", "own")
        message = await asyncio.wait_for(came.get(), SECS)
        assert (message.topic, message.payload) == ("devices/press-1/readings", b"own")


async def test_a_device_hears_its_own_receipts_and_no_readings(broker: Deployed) -> None:
    async with AsyncExitStack() as stack:
        press = await stack.enter_async_context(client(broker, "press-1", "for-press-1"))
        simulator = await stack.enter_async_context(client(broker, "simulator", "for-simulator"))
        answers = await stack.enter_async_context(client(broker, "gateway", "for-gateway"))
        for topic in ("devices/+/receipts", "devices/+/readings"):
            await press.subscribe(topic, qos=1)
        await publish(simulator, "devices/press-1/readings", "heard by the gateway alone")
        await publish(answers, "devices/press-2/receipts", "of another")
        await publish(answers, "devices/press-1/receipts", "own")
        message = await asyncio.wait_for(anext(aiter(press.messages)), SECS)
        assert (str(message.topic), message.payload) == ("devices/press-1/receipts", b"own")


async def test_no_device_has_another_told_that_its_readings_are_safe(broker: Deployed) -> None:
    """By the gateway itself, which may write every device's receipts: press-1 names the topic of press-2."""
    add_device(broker, "press-2", "for-press-2")
    assert broker._child
    os.kill(broker._child.pid, signal.SIGHUP)
    settings = MqttSettings(url=f"mqtt://gateway:for-gateway@127.0.0.1:{broker.port}", client_id="answering")
    intake = ScriptedIntake()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(settings, intake))
        heard: dict[str, aiomqtt.Client] = {}
        for name in ("press-1", "press-2"):
            await until_added(broker, name)
            heard[name] = await stack.enter_async_context(client(broker, name, f"for-{name}"))
            await heard[name].subscribe(f"devices/{name}/receipts", qos=1)
        for name in ("press-2", "press-1"):
            asking = asking_for_a_receipt(f"devices/{name}/receipts", name.encode())
            await heard["press-1"].publish("devices/press-1/readings", name, qos=1, properties=asking)
        message = await asyncio.wait_for(anext(aiter(heard["press-1"].messages)), SECS)
        assert vars(message.properties)["CorrelationData"] == b"press-1", "its own topic has an answer"
        assert len(intake.stored) == 2, "what was published is stored, whatever becomes of the receipt"
        answers = await stack.enter_async_context(client(broker, "gateway", "for-gateway"))
        await publish(answers, "devices/press-2/receipts", "the first that press-2 hears")
        message = await asyncio.wait_for(anext(aiter(heard["press-2"].messages)), SECS)
        assert message.payload == b"the first that press-2 hears"


async def test_the_gateway_s_user_writes_receipts_and_nothing_else(broker: Deployed) -> None:
    async with (
        gateway(broker, session_expiry_secs=0) as came,
        client(broker, "gateway", "for-gateway") as answers,
        client(broker, "press-1", "for-press-1") as press,
    ):
        for topic in ("devices/press-1/readings", "devices/press-1/receipts/x", "anything"):
            await publish(answers, topic, "written by the gateway's user")
        await publish(press, "devices/press-1/readings", "own")
        assert (await asyncio.wait_for(came.get(), SECS)).payload == b"own"


async def until_added(broker: Deployed, name: str) -> None:
    async with asyncio.timeout(SECS):
        while not await can_come_in(broker, name, f"for-{name}"):  # noqa: ASYNC110 - only the broker knows
            await asyncio.sleep(0.05)


async def test_what_comes_while_the_gateway_is_away_outlives_a_restart_of_the_broker(broker: Deployed) -> None:
    async with gateway(broker, session_expiry_secs=3600) as came:
        assert came.empty()
    async with client(broker, "simulator", "for-simulator") as simulator:
        for first in range(0, QUEUED, 10):
            await asyncio.gather(*[publish(simulator, "devices/d1/readings", str(i)) for i in range(first, first + 10)])
    broker.restart()
    async with gateway(broker, session_expiry_secs=3600) as came:
        found = {int((await asyncio.wait_for(came.get(), SECS)).payload) for _ in range(QUEUED)}
    assert found == set(range(QUEUED))


async def test_a_device_that_is_added_while_the_broker_runs_can_come_in_after_a_hangup(broker: Deployed) -> None:
    add_device(broker, "press-3", "for-press-3")
    assert broker._child
    os.kill(broker._child.pid, signal.SIGHUP)
    await until_added(broker, "press-3")


async def can_come_in(broker: Deployed, user: str, password: str) -> bool:
    try:
        async with client(broker, user, password):
            return True
    except aiomqtt.MqttError:
        return False


def test_new_passwords_leave_the_devices_alone(broker: Deployed) -> None:
    before = (broker.data / "passwords").read_text()
    users = broker.make_passwords(MQTT_GATEWAY_PASSWORD="for-gateway", MQTT_SIMULATOR_PASSWORD="for-simulator")
    assert users[:3] == ["gateway", "simulator", "press-1"]
    assert before.splitlines()[-1] in (broker.data / "passwords").read_text().splitlines()
    assert not (broker.data / "passwords.new").exists()


def test_the_packets_are_as_large_as_the_gateway_takes() -> None:
    (size,) = [
        line.split()[1] for line in text_of(f"{DEPLOY}/mosquitto.conf").splitlines() if "max_packet_size " in line
    ]
    assert MqttSettings().max_payload_bytes < int(size) < 2 * MqttSettings().max_payload_bytes
