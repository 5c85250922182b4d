"""The broker of `gateway up`: how many connections it takes, and what it keeps of whoever was there before."""

import resource
from pathlib import Path

import aiomqtt

from gateway.app.cli.doctor import examine
from gateway.app.dev_servers.broker import BrokerServer
from gateway.app.dev_servers.ports import free_port
from gateway.core.settings import DatabaseSettings, MqttSettings, RedisSettings, Settings
from gateway.core.tasks import background


def test_a_shell_that_allows_few_files_does_not_bound_the_brokers_connections(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    broker = BrokerServer(tmp_path / "broker.toml", tmp_path / "broker.log", free_port(), free_port())
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        broker.start()
        assert broker._child is not None
        lines = Path(f"/proc/{broker._child.pid}/limits").read_text().splitlines()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        broker.stop()
    (files,) = (line for line in lines if line.startswith("Max open files"))
    assert int(files.split()[3]) == int(files.split()[4]) == hard


async def test_doctor_may_come_again_while_devices_publish(tmp_path: Path) -> None:
    """rumqttd keeps what an examination had not acknowledged, whatever expiry it asked for."""
    nobody = "127.0.0.1:1"
    broker = BrokerServer(tmp_path / "broker.toml", tmp_path / "broker.log", free_port(), free_port())
    broker.start()
    try:
        settings = Settings(
            database=DatabaseSettings(url=f"postgresql://{nobody}/d"),
            redis=RedisSettings(url=f"redis://{nobody}"),
            mqtt=MqttSettings(url=broker.url()),
        )
        async with aiomqtt.Client("127.0.0.1", broker.device_port, protocol=aiomqtt.ProtocolVersion.V311) as device:

            async def publish() -> None:
                while True:
                    await device.publish("devices/d/readings", b"{}", qos=1)

            async with background(publish(), name="publish"):  # aiomqtt may miss a cancellation, as `wait_for` does
                for _ in range(4):
                    found = [(each.ok, each.sentence) for each in await examine(settings) if each.part == "mqtt"]
                    assert found == [(True, "subscribes to devices/+/readings with QoS 1")]
    finally:
        broker.stop()
