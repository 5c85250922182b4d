"""What is refused of questions about history, and how, over a real server and a real database."""

from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from gateway.core.settings import HistorySettings
from gateway.domain.history import MAX_BUCKETS
from gateway.web.http.query import to_page
from tests.builders.past import open_past
from tests.integration.past_place import BASE, NDJSON, RANGE, START, Place, one_database, open_place
from tests.integration.web_server import TOKENS, serving
from tests.servers.databases import Databases


@pytest.fixture(scope="module")
def url(plain_databases: Databases) -> Iterator[str]:
    with one_database(plain_databases) as one:
        yield one


@pytest_asyncio.fixture(name="place")
async def running(url: str) -> AsyncIterator[Place]:
    async with open_place(url) as place:
        yield place


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("from=yesterday", "from"),
        ("to=99999999999999999999999", "to"),
        ("from=now&to=-1h", "from"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("limit=1e3", "limit"),
        ("order=up", "order"),
        ("every=5", "every"),
        ("every=0m", "every"),
        ("every=9999999999d", "every"),
        ("every=1h&fn=median", "fn"),
        ("every=1h&fn=", "fn"),
        ("every=1h&fill=linear", "fill"),
        ("every=1h&tz=Mars/Olympus", "tz"),
        ("every=1h&tz=Europe", "tz"),
        ("every=1h&tz=../../etc/passwd", "tz"),
        ("every=1h&tz=%00", "tz"),
        ("every=1h&points=5", "points"),
        ("every=1h&limit=5", "limit"),
        ("points=2", "points"),
        ("points=10001", "points"),
        ("points=5&fn=avg", "fn"),
        ("fn=avg", "fn"),
        ("tz=UTC", "tz"),
        ("bigint=yes", "bigint"),
        ("metric=,", "metric"),
        ("metrics=a", "'metrics'"),
        ("device=d1", "'device'"),
        ("cursor=x", "cursor"),
        ("cursor=%F0%9F%8C%A1", "cursor"),
        ("from=%FF%FE", "from"),
    ],
)
async def test_parameters_that_cannot_be_served(place: Place, query: str, parameter: str) -> None:
    problem = await place.refused(f"{BASE}?{query}")
    assert (problem["status"], problem["code"], problem["parameter"]) == (422, "bad_parameter", parameter)


@pytest.mark.parametrize("query", ["", "device=", "device=d1,", "device=d%201", "device=" + "x" * 129])
async def test_devices_that_cannot_be_served(place: Place, query: str) -> None:
    problem = await place.refused(f"/v1/readings?{query}")
    assert (problem["status"], problem["parameter"]) == (422, "device")


async def test_too_many_devices(place: Place) -> None:
    problem = await place.refused("/v1/readings?device=" + ",".join(f"d{i}" for i in range(101)))
    assert (problem["status"], problem["parameter"]) == (422, "device")


async def test_a_cursor_of_another_question_is_refused(place: Place) -> None:
    cursor = (await place.get(f"{BASE}?{RANGE}&limit=1"))["next_cursor"]
    for query in (f"{RANGE}&limit=1&order=desc", f"{RANGE}&metric=a", f"from={START}"):
        problem = await place.refused(f"{BASE}?{query}&cursor={cursor}")
        assert (problem["status"], problem["parameter"]) == (422, "cursor")
    await place.get(f"{BASE}?{RANGE}&limit=2&cursor={cursor}")


@pytest.mark.parametrize("held", [None, [], [1, 2, 3], [0, 10, 5, 1, []], [0, 10, 50, 1, [1]], [-5, 2**63, 1, 1, [1]]])
async def test_cursors_that_were_made_up_are_refused(place: Place, held: object) -> None:
    texts = (START, "2023-11-15T22:13:20Z")
    forged = to_page(1, None, about=((["d1"], None, texts), False)).cursor((held,) if held is None else held)
    problem = await place.refused(f"{BASE}?{RANGE}&cursor={forged}")
    assert (problem["status"], problem["code"], problem["parameter"]) == (422, "bad_parameter", "cursor")
    assert "not one of ours" in problem["detail"]


async def test_too_many_buckets_say_what_would_do(place: Place) -> None:
    problem = await place.refused(f"{BASE}?from=-30d&every=1m")
    assert (problem["status"], problem["code"], problem["limit"]) == (422, "too_many_buckets", MAX_BUCKETS)
    assert problem["suggested_every"] == "5m"
    await place.get(f"{BASE}?from=-30d&every={problem['suggested_every']}")


async def test_unknown_devices_are_404(place: Place) -> None:
    for path in (
        "/v1/devices/nobody/readings",
        "/v1/readings?device=d1,nobody&every=1h",
        "/v1/readings?device=nobody&points=5",
    ):
        problem = await place.refused(path)
        assert (problem["status"], problem["code"], problem["device"]) == (404, "unknown_device", "nobody")
    got = await place.client.get("/v1/devices/nobody/readings", headers=NDJSON)
    assert (got.status_code, got.json()["code"]) == (404, "unknown_device")


@pytest.mark.parametrize(
    ("token", "devices", "status"),
    [
        ("reader", "d1,d2", 200),
        ("d1", "d1", 200),
        ("d1", "d2", 403),
        ("d1", "d1,d2", 403),
        ("ingest", "d1", 403),
        ("wrong", "d1", 401),
    ],
)
async def test_who_may_read_what(place: Place, token: str, devices: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    assert (await place.client.get(f"/v1/readings?device={devices}", headers=headers)).status_code == status
    if "," not in devices:
        assert (await place.client.get(f"/v1/devices/{devices}/readings", headers=headers)).status_code == status


async def test_any_characters_in_the_path_are_an_answer(place: Place) -> None:
    for name in ("\0", "\udcff".encode("utf-8", "surrogatepass").decode("latin-1"), "a b", "ü", "x" * 300):
        got = await place.client.get(f"/v1/devices/{quote(name, safe='')}/readings")
        assert got.status_code == 422, name


async def test_one_credential_reads_on_its_share_of_the_connections_and_others_on_the_rest(url: str) -> None:
    """Statements of a greedy reader that last, on all that it may have: another is answered beside them."""
    settings = HistorySettings(pool=2, max_queries_per_credential=1, wait_secs=0.05)
    async with serving() as door, open_past(url, settings) as past:
        door.context.stored = past.history
        await past.store(("d1", 0, {"a": 1.0}))
        async with past.history._leases.connection(TOKENS["reader"].caller):
            for headers in ({}, NDJSON):
                got = await door.client.get(BASE, headers={"Authorization": "Bearer reader", **headers})
                assert (got.status_code, got.json()["code"]) == (429, "too_many_at_once")
                assert (got.json()["limit"], got.json()["value"]) == ("history.max_queries_per_credential", 1)
                assert got.headers["retry-after"]
                got = await door.client.get(BASE, headers={"Authorization": "Bearer d1", **headers})
                assert got.status_code == 200
        assert (await door.client.get(BASE, headers={"Authorization": "Bearer reader"})).status_code == 200


async def test_all_connections_taken_is_503(url: str) -> None:
    async with serving() as door, open_past(url, HistorySettings(pool=1, wait_secs=0.05)) as past:
        door.context.stored = past.history
        await past.store(("d1", 0, {"a": 1.0}))
        async with past.history._leases.connection():
            for headers in ({}, NDJSON):
                got = await door.client.get(BASE, headers=headers)
                assert (got.status_code, got.json()["code"], got.json()["limit"]) == (503, "overloaded", "history.pool")
                assert got.headers["retry-after"]
        assert (await door.client.get(BASE)).status_code == 200
