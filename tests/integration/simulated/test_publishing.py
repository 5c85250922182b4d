"""Publishing that waits for COMMITs: a broker that takes everything at once, a gateway that says how far it is."""

import asyncio
import time

import pytest

from simulator.core.addresses import Broker
from simulator.core.errors import Unreachable
from simulator.measure.bench import publishing
from simulator.measure.bench.publishing import Publishing
from simulator.measure.bench.results import Window
from simulator.send.drivers.http import HttpClient
from tests.fakes.fake_broker import FakeBroker
from tests.fakes.listening import listening

READINGS = 5


class Committing:
    """A gateway that has committed what the broker has taken, but never more than `most` messages."""

    def __init__(self, broker: FakeBroker, *, before: int = 1_000) -> None:
        self.broker = broker
        self.before = before
        self.most = 10**9
        self.status = 200

    @property
    def committed(self) -> int:
        return min(len(self.broker.published), self.most)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            stored = self.before + self.committed * READINGS
            body = f"# HELP x\ngateway_readings_stored_total {stored}.0\nother_total 7.0\n".encode()
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (self.status, len(body), body))


@pytest.fixture
def gateway(broker: FakeBroker) -> Committing:
    return Committing(broker)


async def publish(gateway: Committing, count: int, *, clients: int = 3) -> Publishing:
    async with listening(gateway.serve) as port, HttpClient(f"http://127.0.0.1:{port}", timeout=5.0) as client:
        broker = Broker("127.0.0.1", gateway.broker.port)
        one = Publishing(client, broker, name="bench", clients=clients, readings=READINGS)
        posts = ((b"devices/d/readings", b"%d" % i) for i in range(count))
        await one.run(posts, Window(60.0, clock=time.monotonic))
        return one


async def test_all_is_published_once_and_seen_committed(broker: FakeBroker, gateway: Committing) -> None:
    done = await publish(gateway, 1_000)
    assert sorted(int(one.payload) for one in broker.published) == list(range(1_000))
    assert (done.committed, done.tally.times().count, done.tally.faults) == (1_000, 1_000, {})
    assert done.tally.elapsed > 0
    assert done.tally.items == 1_000 * READINGS


async def test_a_question_under_way_when_all_is_sent_is_not_cut_off(
    gateway: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_POLL_S", 0.0)  # there always is one
    done = await publish(gateway, 1_000)
    assert (done.committed, done.tally.faults) == (1_000, {})


async def test_what_is_not_committed_holds_the_publishers_back(
    broker: FakeBroker, gateway: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BACKLOG", 100)
    monkeypatch.setattr(publishing, "_STALLED_S", 0.3)
    gateway.most = 50
    done = await publish(gateway, 10_000)
    assert done.committed == 50
    assert len(broker.published) <= 50 + 100 + 3
    assert done.tally.faults["stalled"] == 3
    assert done.tally.faults["not_committed"] == len(broker.published) - 50


async def test_a_backlog_that_is_worked_off_lets_them_go_on(
    gateway: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "_BACKLOG", 100)
    done = await publish(gateway, 600)
    assert (done.committed, done.tally.faults) == (600, {})


async def test_a_gateway_that_hides_its_metrics_is_a_sentence(gateway: Committing) -> None:
    gateway.status = 404
    with pytest.raises(Unreachable, match="404"):
        await publish(gateway, 1)
