"""In: servers, a rate, a time. Out: what becomes of the load while the database is away for that long, and after it.

The simulator goes on at its rate over both doors; a client of ours asks all the time how long an answer takes. All must
be answered 200 from the spool, be in the database soon after it is back, and answers be as quick as before.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import httpx

from tests.chaos.campaign import Load
from tests.chaos.overload import looking
from tests.chaos.scene import Ground, Restarted, settings_of
from tests.chaos.trial import Trial
from tests.e2e.serving import ADMIN_KEY, Gateway, simulate, wait_for
from tests.servers import plain_http

MEMORY_BYTES = 512 * 2**20
"""The cap on the gateway's own memory while it spools: far below what its queues may hold."""
DRAIN_SECS = 120.0
DRAIN_FACTOR = 3.0
"""The spool is drained at this many times the live rate at least, besides the live rate."""
CALM_SECS = 60.0
CALM_FACTOR = 2.0
WINDOW_SECS = 5.0
"""Answers over which a p99 is taken after the outage."""
NOTICED_SECS = 10.0
START_SECS = 5.0
"""What the database may take to start: in that time answers come from either."""
PAUSE_SECS = 0.02
LOADED_READINGS = 500
"""More than the client that asks can have sent by then."""
ASK_SECS = 20.0
LONGEST_SECS = 1_200.0


class Asked(NamedTuple):
    """One answer to a small post."""

    at: float
    """Monotonic time of the question."""
    secs: float
    answer: str
    """Where the reading is: db, spool; or what was answered instead."""


def outage(servers: Ground, *, rate: int, normal_secs: float, secs: float, strict: bool) -> Trial:
    """Stop the database for `secs` under `rate` readings a second; `strict`: judge figures, too."""
    trial = Trial("outage")
    with ExitStack() as stack:
        gateway = Restarted(settings_of(servers), servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        load = Load(rate=rate, devices=1_000, batch=50).options(LONGEST_SECS, seed=3, age_secs=0)
        simulator = simulate(gateway, servers.folder, *load)
        stack.callback(simulator.close)
        asked = stack.enter_context(asking(gateway))
        looks = stack.enter_context(looking(gateway))
        wait_for(lambda: is_loaded(gateway), lambda: "the load flows", secs=ASK_SECS)
        time.sleep(normal_secs)
        normal = p99([each for each in asked if each.at > time.monotonic() - normal_secs / 2])
        begun, back, backlog = away(servers, gateway, asked, secs)
        wait_for(lambda: rows_spooled(gateway) == 0, lambda: "the spool is drained", secs=DRAIN_SECS)
        drained = time.monotonic() - back
        calm = calm_after(asked, back, normal) if strict else None
        simulator.stop()
        trial.take_verdict(*simulator.finish())
        judge(trial, asked, begun, back)
        weigh(trial, normal=normal, calm=calm, memory=max(look.rss for look in looks), strict=strict)
        per_second = backlog / max(drained, 0.1)
        trial.figures["drained"] = (
            f"{backlog:,.0f} readings in {drained:.1f} s, {per_second / rate:.1f} x the live rate"
        )
        if strict:
            trial.expect(that=per_second >= DRAIN_FACTOR * rate, else_say=f"drained at {per_second:,.0f} readings/s")
    return trial


def away(servers: Ground, gateway: Gateway, asked: list[Asked], secs: float) -> tuple[float, float, float]:
    """Stop the database for `secs`; return when the spool was noticed, when it was back, and the readings spooled."""
    servers.postgres.stop()
    wait_for(lambda: asked[-1].answer == "spool", lambda: f"it spools; {asked[-1]}", secs=NOTICED_SECS)
    begun = asked[-1].at
    time.sleep(secs)
    backlog = readings_spooled(gateway)
    servers.postgres.start()
    return begun, time.monotonic(), backlog


def judge(trial: Trial, asked: Sequence[Asked], begun: float, back: float) -> None:
    """Compare the answers with what must hold: 200 always, and from the spool while the database was away."""
    during = [each for each in asked if begun < each.at < back - START_SECS]
    others = {each.answer for each in asked} - {"db", "spool"}
    trial.figures["answers while away"] = f"{len(during):,}, p99 {1000 * p99(during):.0f} ms"
    trial.expect(that=not others, else_say=f"not every post was answered 200: {others}")
    trial.expect(that={each.answer for each in during} == {"spool"}, else_say="something was not spooled meanwhile")


def weigh(trial: Trial, *, normal: float, calm: float | None, memory: int, strict: bool) -> None:
    """Compare memory and the time of answers with what was promised."""
    trial.figures |= {"p99 before": f"{1000 * normal:.0f} ms", "memory": f"{memory / 2**20:.0f} MiB at most"}
    if calm is not None:
        trial.figures["p99 under twice that"] = f"{calm:.1f} s after the database was back"
    trial.expect(that=memory < MEMORY_BYTES, else_say=f"the gateway took {memory / 2**20:.0f} MiB")
    if strict:
        trial.expect(that=calm is not None, else_say=f"answers were slow for more than {CALM_SECS:.0f} s")


def p99(answers: Sequence[Asked]) -> float:
    """Return the 99th percentile of their seconds."""
    times = sorted(each.secs for each in answers) or [0.0]
    return times[len(times) * 99 // 100]


def calm_after(asked: list[Asked], back: float, normal: float) -> float | None:
    """Return how long after `back` a window began whose p99 is under twice the normal one; waits for it."""
    deadline = back + CALM_SECS
    begin = back
    while begin < deadline:
        window = [each for each in list(asked) if begin <= each.at < begin + WINDOW_SECS]
        if time.monotonic() < begin + WINDOW_SECS + 1:
            time.sleep(0.2)
        elif p99(window) < CALM_FACTOR * normal:
            return begin - back
        else:
            begin += 1
    return None


@contextmanager
def asking(gateway: Gateway) -> Iterator[list[Asked]]:
    """Post a small body again and again, in a thread, until the end of the block."""
    asked: list[Asked] = []
    ended = threading.Event()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        with plain_http.Client(base_url=gateway.url, headers=headers, timeout=ASK_SECS) as client:
            while not ended.wait(PAUSE_SECS):
                began = time.monotonic()
                answer = _post(client)
                asked.append(Asked(began, time.monotonic() - began, answer))

    thread = threading.Thread(target=ask, name="chaos.ask", daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        ended.set()
        thread.join(ASK_SECS)


def _post(client: httpx.Client) -> str:
    try:
        reply = client.post("/v1/readings", json={"device": "asking", "values": {"t": 1.0}})
    except httpx.HTTPError as exc:
        return repr(exc)
    return str(reply.json()["durability"]) if reply.status_code == HTTPStatus.OK else reply.text


def rows_spooled(gateway: Gateway) -> float:
    """Return how many messages wait on disk; more than none if that cannot be told now."""
    with suppress(httpx.HTTPError):
        reply = plain_http.get(f"{gateway.url}/readyz", timeout=ASK_SECS)
        return float(reply.json()["parts"]["spool"]["rows"])
    return 1.0


def is_loaded(gateway: Gateway) -> bool:
    """Whether the simulator's readings come in over both doors. Raises httpx.HTTPError."""
    sources = ledger_of(gateway)["sources"]
    return all(sources[door]["received"] > LOADED_READINGS for door in ("http", "mqtt"))


def readings_spooled(gateway: Gateway) -> float:
    """Return how many readings were acknowledged from the spool. Raises httpx.HTTPError."""
    return float(ledger_of(gateway)["total"]["spooled"])


def ledger_of(gateway: Gateway) -> dict[str, Any]:
    """Return the gateway's books. Raises httpx.HTTPError."""
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    books: dict[str, Any] = plain_http.get(f"{gateway.url}/v1/ledger", headers=headers, timeout=ASK_SECS).json()
    return books
