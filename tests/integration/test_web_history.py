"""GET /v1/readings and /v1/devices/{device}/readings over a real server and a real database."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.builders.batches import NOON, Message
from tests.builders.past import HOUR
from tests.integration.past_place import BASE, BIG, CSV, NDJSON, RANGE, START, Place, lines, one_database, open_place
from tests.servers.databases import Databases


@pytest.fixture(scope="module")
def url(plain_databases: Databases) -> Iterator[str]:
    with one_database(plain_databases) as one:
        yield one


@pytest_asyncio.fixture(name="place")
async def running(url: str) -> AsyncIterator[Place]:
    async with open_place(url) as place:
        yield place


async def test_rows_of_a_device(place: Place) -> None:
    got = await place.get(f"{BASE}?{RANGE}")
    values = {"a": 21.5, "on": True, "n": BIG, "s": 'say "hi",\n21.5'}
    assert got == {
        "device": "d1",
        "from": "2023-11-14T22:13:20.000000Z",
        "to": "2023-11-15T22:13:20.000000Z",
        "readings": [
            {"device": "d1", "ts": "2023-11-14T22:13:20.000000Z", "values": values},
            {"device": "d1", "ts": "2023-11-14T22:13:22.000000Z", "values": {"a": 1e22}},
        ],
        "next_cursor": None,
    }
    assert [type(value) for value in got["readings"][0]["values"].values()] == [float, bool, int, str]
    only = await place.get(f"{BASE}?{RANGE}&metric=n,x&bigint=string")
    assert [row["values"] for row in only["readings"]] == [{"n": str(BIG)}]


async def test_a_device_that_said_nothing_and_the_last_hour(place: Place) -> None:
    got = await place.get("/v1/devices/silent/readings")
    assert (got["readings"], got["next_cursor"]) == ([], None)
    assert got["to"] == "2024-11-22T12:03:20.123000Z"
    assert got["from"] == "2024-11-22T11:03:20.123000Z"


async def test_pages_keep_their_range_and_end(place: Place) -> None:
    path = f"/v1/readings?device=d1,d2&{RANGE}&limit=1&order=desc"
    found, cursor = [], ""
    while cursor is not None:
        got = await place.get(path + (f"&cursor={cursor}" if cursor else ""))
        assert got["devices"] == ["d1", "d2"]
        found += [(row["device"], row["ts"][17:19]) for row in got["readings"]]
        cursor = got["next_cursor"]
    assert found == [("d1", "22"), ("d2", "20"), ("d1", "20")]
    first = await place.get(f"{BASE}?from=-9000h&to=now&limit=1")
    place.door.context.clock = Later()
    second = await place.get(f"{BASE}?from=-9000h&to=now&limit=1&cursor={first['next_cursor']}")
    assert (second["from"], second["to"]) == (first["from"], first["to"])
    assert [row["values"] for row in second["readings"]] == [{"a": 1e22}]


class Later:
    def now_us(self) -> int:
        return NOON + 10**6 * HOUR


async def test_ndjson_is_the_same_rows(place: Place) -> None:
    rows = (await place.get(f"{BASE}?{RANGE}"))["readings"]
    got = await place.client.get(f"{BASE}?{RANGE}", headers=NDJSON)
    assert got.headers["content-type"] == "application/x-ndjson"
    assert got.headers["transfer-encoding"] == "chunked"
    assert got.headers["x-request-id"]
    assert lines(got) == rows
    first = await place.client.get(f"{BASE}?{RANGE}&limit=1", headers=NDJSON)
    assert lines(first) == rows[:1]
    rest = await place.client.get(f"{BASE}?{RANGE}&cursor={first.headers['x-next-cursor']}", headers=NDJSON)
    assert lines(rest) == rows[1:]
    assert "x-next-cursor" not in rest.headers
    nothing = await place.client.get("/v1/devices/silent/readings", headers=NDJSON)
    assert (nothing.status_code, nothing.content) == (200, b"")


async def test_csv_tells_texts_from_numbers(place: Place) -> None:
    got = await place.client.get(f"{BASE}?{RANGE}", headers=CSV)
    assert got.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert got.text.startswith("device,ts,metric,value\r\n")
    ts = "2023-11-14T22:13:20.000000Z"
    assert list(csv.reader(io.StringIO(got.text, newline="")))[1:] == [
        ["d1", ts, "a", "21.5"],
        ["d1", ts, "on", "true"],
        ["d1", ts, "n", str(BIG)],
        ["d1", ts, "s", 'say "hi",\n21.5'],
        ["d1", "2023-11-14T22:13:22.000000Z", "a", "1e+22"],
    ]
    assert ',s,"say ""hi"",\n21.5"\r\n' in got.text
    paged = await place.client.get(f"{BASE}?{RANGE}&limit=1", headers=CSV)
    assert paged.text.startswith("device,ts,metric,value\r\n")
    assert paged.headers["x-next-cursor"]
    nothing = await place.client.get("/v1/devices/silent/readings", headers=CSV)
    assert nothing.text == "device,ts,metric,value\r\n"


async def test_what_comes_out_can_be_taken_in(place: Place) -> None:
    rows = (await place.get(f"{BASE}?{RANGE}"))["readings"]
    got = await place.client.post("/v1/readings", json=rows)
    assert got.status_code == 200
    assert json.loads(place.door.intake.taken[-1].body) == rows


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "application/json"),
        ("application/json;q=0.2, text/csv;q=0.7", "text/csv"),
        ("application/json;q=0.2, text/csv;q=x", "application/json"),
        ("application/jsonl", "application/x-ndjson"),
        ("", "application/json"),
        (";;,q=,text/csv;q=0", "application/json"),
    ],
)
async def test_the_best_liked_media_type(place: Place, accept: str, kind: str) -> None:
    got = await place.client.get(f"{BASE}?{RANGE}", headers={"Accept": accept})
    assert got.headers["content-type"].partition(";")[0] == kind


async def test_buckets(place: Place) -> None:
    functions = "fn=avg,count,first,sum"
    got = await place.get(f"{BASE}?{RANGE}&metric=a,n,on&every=1h&{functions}")
    hour = [1_699_999_200_000]
    assert {key: got[key] for key in ("device", "every", "tz", "fn", "next_cursor")} == {
        "device": "d1",
        "every": "1h",
        "tz": "UTC",
        "fn": ["avg", "count", "first", "sum"],
        "next_cursor": None,
    }
    by_metric = {series["metric"]: series for series in got["series"]}
    assert by_metric["n"] == {
        "device": "d1",
        "metric": "n",
        "kind": "int",
        "ts": hour,
        "avg": [float(BIG)],
        "count": [1],
    } | {
        "first": [BIG],
        "sum": [BIG],
    }
    assert (by_metric["on"]["first"], by_metric["on"]["avg"]) == ([True], [1.0])
    quoted = await place.get(f"{BASE}?{RANGE}&metric=n&every=1h&{functions}&bigint=string")
    assert (quoted["series"][0]["sum"], quoted["series"][0]["count"]) == ([str(BIG)], [1])


async def test_a_sum_beyond_64_bits_is_exact(place: Place) -> None:
    messages: list[Message] = [("sum", i, {"n": BIG}) for i in range(4)]
    await place.past.store(*messages)
    got = await place.client.get(f"/v1/devices/sum/readings?{RANGE}&every=1d&fn=sum,max")
    assert f'"sum":[{4 * BIG}]' in got.text
    table = await place.client.get(f"/v1/devices/sum/readings?{RANGE}&every=1d&fn=sum,max", headers=CSV)
    assert table.text == (f"device,metric,kind,ts,sum,max\r\nsum,n,int,2023-11-14T00:00:00.000000Z,{4 * BIG},{BIG}\r\n")
    streamed = await place.client.get(f"/v1/devices/sum/readings?{RANGE}&every=1d&fn=sum,max", headers=NDJSON)
    assert lines(streamed) == [
        {"device": "sum", "metric": "n", "kind": "int", "ts": "2023-11-14T00:00:00.000000Z", "sum": 4 * BIG, "max": BIG}
    ]


async def test_a_sum_that_no_double_holds_refuses_only_itself(place: Place) -> None:
    messages: list[Message] = [("huge", i, {"a": 1.7e308, "b": 1.0}) for i in range(2)]
    await place.past.store(*messages)
    question = f"/v1/devices/huge/readings?{RANGE}&every=1d&fn=sum,max"
    (huge, small) = (await place.get(question))["series"]
    assert (huge["sum"], huge["max"], huge["out_of_range"]) == ([None], [1.7e308], ["sum"])
    assert (small["sum"], small["max"], "out_of_range" in small) == ([2.0], [1.0], False)
    table = await place.client.get(question, headers=CSV)
    assert [line.split(",")[4:] for line in table.text.splitlines()[1:]] == [["inf", "1.7e+308"], ["2.0", "1.0"]]
    streamed = lines(await place.client.get(question, headers=NDJSON))
    assert [(line["sum"], line.get("out_of_range")) for line in streamed] == [(None, ["sum"]), (2.0, None)]


async def test_points_of_one_millisecond_keep_their_microseconds(place: Place) -> None:
    messages: list[Message] = [("dense", 100 * i, {"a": float(i)}) for i in range(25)]
    await place.past.store(*messages)
    [series] = (await place.get(f"/v1/devices/dense/readings?{RANGE}&points=100"))["series"]
    assert [round(ts * 1000) for ts in series["ts"]] == [NOON + 100 * i for i in range(25)]
    assert [type(ts) for ts in series["ts"][:2]] == [int, float]


async def test_a_plus_that_was_not_escaped_is_read_as_it_was_meant(place: Place) -> None:
    got = await place.get(
        f"{BASE}?from=2023-11-14T23:13:20+01:00&to=2023-11-15+22:13:20Z&metric=a&every=1d&tz=Etc/GMT+1"
    )
    assert (got["from"], got["to"], got["tz"]) == (
        "2023-11-14T22:13:20.000000Z",
        "2023-11-15T22:13:20.000000Z",
        "Etc/GMT+1",
    )
    assert got["series"][0]["ts"] == [1_699_923_600_000]


async def test_filled_buckets_in_csv_have_empty_cells(place: Place) -> None:
    path = f"{BASE}?from={START}&to=2023-11-15T00:13:20Z&metric=a&every=1h&fn=max,count&fill=null"
    got = await place.client.get(path, headers=CSV)
    assert [row[3:] for row in csv.reader(io.StringIO(got.text))][1:] == [
        ["2023-11-14T22:00:00.000000Z", "1e+22", "2"],
        ["2023-11-14T23:00:00.000000Z", "", "0"],
        ["2023-11-15T00:00:00.000000Z", "", "0"],
    ]
    assert (await place.get(path))["series"][0]["max"] == [1e22, None, None]


async def test_texts_that_cannot_be_averaged_are_said(place: Place) -> None:
    got = await place.get(f"{BASE}?{RANGE}&every=1h")
    assert got["fn"] == ["avg"]
    assert got["left_out"] == [{"device": "d1", "metric": "s", "kind": "text"}]
    problem = await place.refused(f"{BASE}?{RANGE}&every=1h&metric=s&fn=avg")
    assert (problem["status"], problem["code"], problem["metric"], problem["kind"]) == (
        422,
        "bad_parameter",
        "s",
        "text",
    )


async def test_points(place: Place) -> None:
    got = await place.get(f"/v1/readings?device=d1&{RANGE}&points=3")
    assert (got["points"], got["next_cursor"]) == (3, None)
    by_metric = {series["metric"]: series for series in got["series"]}
    ms = NOON // 1000
    assert by_metric["a"] == {
        "device": "d1",
        "metric": "a",
        "kind": "double",
        "ts": [ms, ms + 2000],
        "value": [21.5, 1e22],
    }
    assert by_metric["on"]["value"] == [True]
    assert by_metric["s"]["value"] == ['say "hi",\n21.5']
    table = await place.client.get(f"{BASE}?{RANGE}&points=3&metric=a", headers=CSV)
    assert table.text.splitlines()[0] == "device,metric,kind,ts,value"
