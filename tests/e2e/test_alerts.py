"""A real Prometheus with the alerts that are shipped, a real outage: the operator is told, and told that it is over."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import pytest

from tests.docs.pages import text_of
from tests.e2e.serving import ADMIN_KEY, Gateway, wait_for
from tests.servers import plain_http
from tests.servers.errors import NoGroundError
from tests.servers.postgres import DatabaseServer
from tests.servers.prometheus import Prometheus, trixie_prometheus
from tests.servers.trixie import Trixie, trixie

HURRIED = (
    (r"for: \d+m\b", "for: 2s"),
    (r"\[\d+m\]", "[10s]"),
    (r"offset \d+m", "offset 10s"),
    (r"(scrape|evaluation)_interval: 15s", r"\1_interval: 1s"),
)
"""Minutes become seconds, so that the test does not take as many."""
MOST_LINES = 8
"""Of one happening, in an outage of less than two minutes."""


@pytest.fixture(scope="module")
def root() -> Trixie:
    try:
        return trixie()
    except NoGroundError as error:
        pytest.skip(str(error))


def hurried(name: str, port: int) -> str:
    text = text_of(f"deploy/prometheus/{name}").replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for slow, fast in HURRIED:
        text = re.sub(slow, fast, text)
    return text


@contextmanager
def small_load(gateway: Gateway) -> Iterator[list[int]]:
    """Post a reading ten times a second; yields the statuses of the answers."""
    ended, statuses = threading.Event(), list[int]()

    def post() -> None:
        with plain_http.Client(headers={"Authorization": f"Bearer {ADMIN_KEY}"}, timeout=30) as client:
            while not ended.wait(0.1):
                body = {"device": "d1", "metric": "t", "value": len(statuses)}
                statuses.append(client.post(f"{gateway.url}/v1/readings", json=body).status_code)

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield statuses
    finally:
        ended.set()
        thread.join()


def until(prometheus: Prometheus, condition: Callable[[dict[str, str]], bool], what: str) -> None:
    wait_for(lambda: condition(prometheus.alerts()), lambda: f"{what}; {prometheus.alerts()}", secs=90)


def test_an_outage_of_the_database_is_told_and_its_end_too(
    gateway: Gateway,
    own_timescale: DatabaseServer,
    root: Trixie,
) -> None:
    gateway.start()
    files = {name: hurried(name, gateway.port) for name in ("prometheus.yml", "alerts.yml")}
    with trixie_prometheus(root, files) as prometheus, small_load(gateway) as statuses:
        wait_for(lambda: prometheus.ask("gateway_commits_total") > [3.0], lambda: "it is scraped", secs=30)
        until(prometheus, lambda alerts: not alerts, "all is well")
        own_timescale.kill()
        told = {"GatewayDatabaseAway", "GatewayReadingsSpooled"}
        until(prometheus, lambda alerts: all(alerts.get(one) == "firing" for one in told), "it is told")
        assert prometheus.ask("gateway_spool_rows") > [0.0]
        assert prometheus.ask('up{job="gateway"}') == [1.0]
        assert prometheus.ask("gateway_ready") == [1.0]
        own_timescale.start()
        until(prometheus, lambda alerts: not alerts, "it is over")
        assert prometheus.ask("gateway_spool_rows") == [0.0]
        assert prometheus.ask("gateway_spool_bytes") == [0.0]
    assert set(statuses) == {200}
    said = Counter(orjson.loads(line)["name"] for line in gateway.log.read_bytes().splitlines() if b'"name"' in line)
    assert (said["database_lost"], said["sweep_failed"]) == (1, 1)
    assert said["chore_recovered"] >= 1
    assert 0 < said["spooled"] <= MOST_LINES
    assert max(said.values()) <= MOST_LINES, said
