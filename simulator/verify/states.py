"""The newest states of some devices, asked of the gateway and compared. Never reads the database."""

from collections.abc import Iterator
from typing import Any

import orjson

from simulator.core.errors import Refused
from simulator.core.times import to_us
from simulator.send.drivers.http import HttpClient, Request, ask_once
from simulator.verify.audit import Newest, is_same

MAX_DEVICES = 1_000
"""Devices the gateway answers for in one call."""
_OK = 200

States = dict[str, dict[str, Any]]


async def fetch_states(client: HttpClient, devices: list[str]) -> States:
    """Return {device: {metric: {"value", "ts", …}}} of at most 1,000 devices; unknown ones are left out.

    Raises Refused, and Unreachable if there is no answer.
    """
    request = Request("POST", "/v1/states:query", orjson.dumps({"devices": devices}))
    complaint = f"The gateway at {client.url} did not answer for the state"
    response = await ask_once(client, request, complaint=complaint)
    if response.status != _OK:
        raise Refused(f"states:query was answered with {response.status}")
    try:
        states = orjson.loads(response.body)["states"]
        return {name: state["metrics"] for name, state in states.items() if state}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Refused("states:query was answered with something else than states") from error


def differences(expected: list[Newest], states: States) -> Iterator[tuple[Newest, int | None, object]]:
    """Yield each series that is shown otherwise, with the time (µs) and value shown; no time if it is absent."""
    for series in expected:
        shown = states.get(series.device, {}).get(series.metric)
        if not isinstance(shown, dict):
            yield series, None, None
            continue
        time_us, value = to_us(shown.get("ts")), shown.get("value")
        if time_us != series.time_us or not is_same(value, series.value):
            yield series, time_us, value
