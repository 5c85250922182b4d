"""Dead letters, held against what was spoiled over MQTT, where a refusal has no other answer.

Written from docs/http-api.md: one letter for each message that was not taken whole, with the device of its topic and
the code of the first refusal. A message the broker took without an answer to us may have left one or not.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import numpy as np
import orjson

from simulator.core.counts import MAX_EXAMPLES
from simulator.core.errors import Refused
from simulator.core.times import time_of
from simulator.plan.faults import CONTENT, Fault
from simulator.send.drivers.http import HttpClient, Request, ask_once
from simulator.send.ledger import Outcome
from simulator.send.loads.spoil import GHOST
from simulator.send.loads.truth import Truth
from simulator.verify.findings import Account

_LIMIT = 1_000
_OK = 200
_CLOCKS_APART_MS = 60_000


DeadLetter = tuple[str, str]
"""(device, code)."""


@dataclass(slots=True)
class DeadLetterFindings:
    """Counts of dead letters; `unchecked` says why they were not looked at, if so."""

    expected: int = 0
    missing: int = 0
    unexpected: int = 0
    unchecked: str = ""
    examples: list[str] = field(default_factory=list)


def expected_letters(accounts: Sequence[Account]) -> tuple[Counter[DeadLetter], Counter[DeadLetter]]:
    """Return the letters that there must be, and those that there may be beside them."""
    must: Counter[DeadLetter] = Counter()
    may: Counter[DeadLetter] = Counter()
    for account in accounts:
        if account.draw is None or not account.draw.spoils or account.ledger.lane.transport != "mqtt":
            continue
        outcomes = account.ledger.outcomes
        refused = np.flatnonzero((outcomes == Outcome.PARTLY) | (outcomes == Outcome.REFUSED))
        must.update(_letters(account, refused))
        may.update(_letters(account, np.flatnonzero(outcomes == Outcome.SENT)))
    return must, may


def _letters(account: Account, posts: "np.typing.NDArray[np.int64]") -> Iterator[DeadLetter]:
    lane, draw = account.ledger.lane, account.draw
    if draw is None:
        return
    truth = Truth(draw, lane)
    for fault in CONTENT:
        of_fault = draw.having(fault, posts)
        devices, _ = lane.said_by(of_fault * lane.messages)
        for post, device in zip(of_fault.tolist(), devices.tolist(), strict=True):
            code = truth.expected(post, fault).code
            if code:
                yield account.fleet.name(device) + (GHOST if fault is Fault.UNKNOWN_DEVICE else ""), code


async def fetch_letters(client: HttpClient, *, since_ms: int, prefix: str) -> Counter[DeadLetter]:
    """Return the letters of the run's devices, by device and code. Raises Refused and Unreachable."""
    found: Counter[DeadLetter] = Counter()
    query = {"source": "mqtt", "since": time_of((since_ms - _CLOCKS_APART_MS) * 1_000), "limit": str(_LIMIT)}
    while True:
        page = await _page(client, query)
        letters = page.get("dead_letters", ())
        found.update((str(x["device"]), x["code"]) for x in letters if str(x["device"]).startswith(prefix))
        cursor = page.get("next_cursor") or page.get("cursor")
        if not cursor:
            return found
        query["cursor"] = str(cursor)


async def _page(client: HttpClient, query: dict[str, str]) -> dict[str, Any]:
    complaint = f"The gateway at {client.url} did not answer for its dead letters"
    response = await ask_once(client, Request("GET", f"/v1/dead-letters?{urlencode(query)}"), complaint=complaint)
    if response.status != _OK:
        raise Refused(f"GET /v1/dead-letters was answered with {response.status}")
    try:
        page: dict[str, Any] = orjson.loads(response.body)
    except orjson.JSONDecodeError as error:
        raise Refused("GET /v1/dead-letters was answered with no JSON") from error
    return page


def compare(must: Counter[DeadLetter], may: Counter[DeadLetter], found: Counter[DeadLetter]) -> DeadLetterFindings:
    """Return which letters are missing, and which nobody can explain."""
    missing, surplus = must - found, found - must - may
    examples = [f"no dead letter {code} of {device}" for device, code in missing.elements()]
    examples += [f"an unexpected dead letter {code} of {device}" for device, code in surplus.elements()]
    return DeadLetterFindings(must.total(), missing.total(), surplus.total(), examples=examples[:MAX_EXAMPLES])
