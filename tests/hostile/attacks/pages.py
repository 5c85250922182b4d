"""Pages that anybody may ask for, asked for as fast as they come."""

import itertools
from collections.abc import AsyncIterator

from tests.hostile.attack import Target, attack
from tests.hostile.lines import anywhere, flood, request


@attack("stranger", "metrics, as fast as they come", rss_mib=48)
async def scrapes(target: Target) -> AsyncIterator[None]:
    data = request("GET", "/metrics")
    yield
    await flood(target, lambda: data, lines=32, address=anywhere)


@attack("stranger", "health, as fast as it comes", rss_mib=32, in_short=False)
async def probes(target: Target) -> AsyncIterator[None]:
    data = itertools.cycle([request("GET", "/readyz"), request("GET", "/livez")])
    yield
    await flood(target, lambda: next(data), lines=32, address=anywhere)


@attack("stranger", "the largest files, as fast as they come", rss_mib=96, in_short=False)
async def files(target: Target) -> AsyncIterator[None]:
    data = itertools.cycle([request("GET", "/docs/swagger-ui.js"), request("GET", "/openapi.json")])
    yield
    await flood(target, lambda: next(data), lines=16)


@attack("stranger", "addresses that there are not, and problems, as fast as they come", rss_mib=32, in_short=False)
async def problems(target: Target) -> AsyncIterator[None]:
    data = itertools.cycle(
        [
            request("GET", "/nowhere"),
            request("POST", "/v1/readings", body=b"{}"),
            request("PATCH", "/livez"),
            request("GET", "/docs/../../etc/passwd"),
        ]
    )
    yield
    await flood(target, lambda: next(data), lines=32, address=anywhere)
