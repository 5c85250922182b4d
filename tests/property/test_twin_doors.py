"""Whatever a client sends, in whatever pieces: our connections answer it byte for byte as Sanic's own do."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.settings import LimitSettings
from tests.integration.twin_doors import DEVICES, Heard, Twins, twins
from tests.integration.web_server import NOW_US

PLAIN_HEAD = b"POST /v1/readings HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
TOKENS = st.sampled_from(
    ["Bearer admin", "bearer admin", "Bearer ingest", "Bearer reader", "Bearer d1", "Bearer x", ""]
)
NEUTRAL = st.sampled_from(["Accept: */*", "User-Agent: probe/1", "X-Real-IP: 10.0.0.1", "traceparent: 00-1-2-01"])
TELLING = st.sampled_from(
    [
        "X-Request-Id: mine", "X-Request-Id: a\tb",
        "Connection: keep-alive", "Connection: close", "Connection: Upgrade",
        "Content-Type: application/json", "Content-Type: application/json; charset=utf-8", "Content-Type: text/csv",
        "Content-Type: application/x-www-form-urlencoded",
        "Idempotency-Key: once", "Content-Encoding: gzip", "If-None-Match: *", 'If-None-Match: "nothing"',
        "Expect: 100-continue", "X-Unknown: 1", " Folded: 1", "no colon", "Content-Length: 3",
        "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding : chunked", "Content-Length : 3",
        "Content-Length: +3", "Content-Length: 3, 3", "Host: other", "X-Bare: a\rb", "X-Bare: a\nb", "X-Nul: \0",
    ]
)  # fmt: skip
HEADERS = st.lists(NEUTRAL | TELLING, max_size=3)
TIMES = st.integers(NOW_US // 1000 - 1_000_000, NOW_US // 1000 + 10_000_000)
VALUES = st.floats(-9, 9) | st.booleans() | st.text(max_size=3)
ITEMS = st.fixed_dictionaries(
    {"values": st.dictionaries(st.sampled_from(["t", "h", "bad name"]), VALUES)},
    optional={"device": st.sampled_from([*DEVICES, "d9", "no/name"]), "ts": TIMES},
)  # fmt: skip
BODIES = st.one_of(
    ITEMS.map(orjson.dumps),
    st.lists(ITEMS, max_size=3).map(orjson.dumps),
    st.sampled_from(
        [b"", b"[]", b"{}", b"nonsense", b'{"device":"d1","metric":"t","value":1}', b"[" * 99, b"x" * 5000]
    ),
)
PATHS = st.sampled_from(
    [
        "/v1/readings",
        "/v1/readings?atomic=true",
        "/v1/devices/d1/readings",
        "/v1/devices/d%31/readings",
        "/v1/readings/",
    ]
)
STATES = st.sampled_from(
    ["/v1/devices/d1/state", "/v1/devices/d9/state", "/v1/devices/far:away.4/state", "/v1/devices/d1/state?metrics=t"]
)


def head(method: str, path: str, token: str, more: Sequence[str]) -> str:
    """The head of a request, but for the empty line."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway", f"Authorization: {token}", *more])


def post(path: str, token: str, more: Sequence[str], body: bytes) -> bytes:
    """A whole request with a body."""
    return f"{head('POST', path, token, [*more, f'Content-Length: {len(body)}'])}\r\n\r\n".encode() + body


POSTS = st.builds(post, PATHS, TOKENS, HEADERS, BODIES)
QUESTIONS = st.builds(
    lambda method, path, token, more: f"{head(method, path, token, more)}\r\n\r\n".encode(),
    st.sampled_from(["GET", "GET", "HEAD", "DELETE"]), STATES, TOKENS, HEADERS,
)  # fmt: skip
PLAIN = st.builds(
    lambda items: PLAIN_HEAD % len(items) + items,
    st.lists(
        st.fixed_dictionaries({"device": st.sampled_from(DEVICES), "ts": TIMES, "values": st.just({"t": 1.5, "h": 2})}),
        min_size=1, max_size=2,
    ).map(orjson.dumps),
)  # fmt: skip
REQUESTS = st.lists(st.one_of(PLAIN, PLAIN, POSTS, QUESTIONS), min_size=1, max_size=5)


def cut(requests: Sequence[bytes], places: Sequence[int]) -> list[bytes]:
    """What is sent, in pieces: request by request, and cut at some places more."""
    pieces = []
    for number, request in enumerate([*requests, LAST]):
        place = places[number % len(places)] if places else 0
        at = place % len(request)
        pieces += [piece for piece in (request[:at], request[at:]) if piece]
    return pieces


LIMITS = LimitSettings(
    device_requests_per_sec=1, key_requests_per_sec=2, key_readings_per_sec=4, address_bytes_per_sec=500, burst_secs=2
)
"""Tight enough that about half of what is sent is over one of them."""


class Served(NamedTuple):
    """Both doors, and the loop they are served in."""

    runner: asyncio.Runner
    doors: Twins

    def converse(self, pieces: Sequence[bytes]) -> tuple[Heard, Heard]:
        """Hold the same conversation at both."""
        return self.runner.run(both(self.doors, pieces))


@pytest.fixture(scope="module", name="served", params=[None, LIMITS], ids=["no limits", "limits"])
def serving_both(request: pytest.FixtureRequest) -> Iterator[Served]:
    """Serve both doors for all examples, so that they come to know tokens, devices and layouts."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        doors = runner.run(stack.enter_async_context(twins(request.param)))
        try:
            yield Served(runner, doors)
        finally:
            runner.run(stack.aclose())


def test_the_short_way_is_taken_by_one_door_alone(served: Served) -> None:
    doors = served.doors
    for door in doors:
        door.now += 3600  # whatever was sent before, no limit is used up
    body = orjson.dumps({"device": "d1", "ts": NOW_US // 1000, "values": {"t": 1.5, "h": 2}})
    head = PLAIN_HEAD % len(body)
    served.converse([head + body, LAST])  # the token is known now, and the device
    taken, held = doors.ours.taken_at_once, doors.ours.budgets.held
    ours, sanic = served.converse([head, body, LAST])
    assert ours == sanic
    assert doors.ours.taken_at_once == taken + 1
    assert doors.ours.budgets.held == held + 1
    assert not doors.sanic.taken_at_once


async def both(doors: Twins, pieces: Sequence[bytes]) -> tuple[Heard, Heard]:
    """Hold the same conversation at both doors, a second after the last one."""
    for door in doors:
        door.now += 1
    return await doors.ours.converse(pieces), await doors.sanic.converse(pieces)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(REQUESTS, st.lists(st.integers(0, 400), max_size=3), st.booleans())
def test_both_doors_answer_alike(
    served: Served,
    requests: list[bytes],
    places: list[int],
    together: bool,
) -> None:
    pieces = cut(requests, places)
    ours, sanic = served.converse([b"".join(pieces)] if together else pieces)
    if ours.whole and sanic.whole:
        assert ours.answered == sanic.answered
    else:
        assert ours.answered.startswith(sanic.answered) or sanic.answered.startswith(ours.answered)
