"""In: servers, a time. Out: what becomes of ten times the capacity, offered by clients that ask nobody.

Capacity is what sixteen connections get through in a closed loop, just before. Ten times as much must cost no memory
that grows, lose nothing that was acknowledged, store nothing that was refused, leave most of the capacity to what is
taken, keep health checks alive, and be over when it is over.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx

from tests.chaos import flood
from tests.chaos.scene import Ground, Restarted, settings_of
from tests.chaos.trial import Trial
from tests.e2e.serving import ADMIN_KEY, Gateway, descendants, wait_for
from tests.servers import plain_http

FACTOR = 10
CONNECTIONS = 1_000
RSS_SHARE = 0.15
"""How much the memory may differ between the first quarter and the end."""
GOODPUT_SHARE = 0.8
RECOVERY_SECS = 10.0
PROBE_SECS = 5.0
"""Longest wait of a health check, on a connection of its own: orchestrators kill what takes longer."""
WATCH_SECS = 0.5
LOOK_SECS = 30.0
COUNT_SECS = 300.0
CALM_SECS = 1.0
SMALL = {"device": "small", "values": {"t": 1.0}}
FLOOD_SECS = 120.0
"""What a flood may take beyond its time."""
STORED = """
select extract(epoch from date_trunc('second', m.time))::bigint as number, count(*) as rows
from messages m join devices d on d.id = m.device_id where d.name like $1 || '-%' group by 1
"""


class Look(NamedTuple):
    """One look at the gateway while it is flooded."""

    rss: int
    """Bytes of all its processes."""
    secs: float
    """How long /livez took."""


def overload(servers: Ground, *, secs: float, capacity_secs: float, strict: bool) -> Trial:
    """Measure the capacity, offer ten times as much for `secs`, look what is stored; `strict`: judge figures, too."""
    trial = Trial("overload")
    with ExitStack() as stack:
        settings = settings_of(servers) | {"GATEWAY_MQTT__URL": ""}
        gateway = Restarted(settings, servers.folder / "gateway.log")
        stack.callback(gateway.close)
        gateway.start()
        calm = pour(gateway, "calm", seconds=capacity_secs, connections=16)
        capacity = per_second(calm, skip=1)
        with looking(gateway) as looks:
            flooded = pour(gateway, "flood", seconds=secs, connections=CONNECTIONS, rate=FACTOR * capacity)
        trial.figures["recovery"] = f"{recovery(gateway):.1f} s after the last answer"
        trial.figures["offered"] = (
            f"{flooded['offered'] / secs:.0f} bodies/s; {flooded['unsent'] / secs:.0f} found no connection free"
        )
        weigh(trial, goodput=goodput_of(flooded, secs), capacity=capacity, memory=memory_of(looks), strict=strict)
        judge(trial, flooded, slowest=max(look.secs for look in looks))
        for prefix, report in (("calm", calm), ("flood", flooded)):
            trial.troubles += asyncio.run(unlike(settings["GATEWAY_DATABASE__URL"], prefix, report))
        trial.expect(that=gateway.terminate() == 0, else_say="the gateway did not end with 0")
    return trial


def pour(gateway: Gateway, prefix: str, **options: float) -> dict[str, Any]:
    """Run a flood to its end and return its report."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos.flood", "--port", str(gateway.port), "--prefix", prefix, *words],
        env=os.environ | {"FLOOD_KEY": ADMIN_KEY},
        capture_output=True,
        timeout=options["seconds"] + FLOOD_SECS,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def per_second(report: dict[str, Any], *, skip: int = 0) -> float:
    """Return the bodies acknowledged in a second, on average over the whole seconds of a flood."""
    whole: list[int] = [bodies for _, bodies in report["seconds"]][skip:-1]
    return sum(whole) / max(1, len(whole))


def judge(trial: Trial, report: dict[str, Any], *, slowest: float) -> None:
    """Compare the flood's answers with what must hold on any machine."""
    statuses, limits, retries = report["statuses"], report["limits"], report["retries"]
    acknowledged = f"{len(report['acknowledged']):,} bodies; p50 {report['p50']:.2f} s, p99 {report['p99']:.2f} s"
    trial.figures |= {
        "acknowledged": acknowledged,
        "refused": f"{statuses.get('503', 0):,}, by {limits}, Retry-After {retries}",
        "slowest /livez": f"{slowest:.2f} s",
    }
    trial.expect(that=statuses.get("503", 0) > 0, else_say="nothing was refused: that was no overload")
    trial.expect(that=set(statuses) <= {"200", "503"}, else_say=f"other answers: {statuses}")
    trial.expect(that="none" not in limits, else_say="a refusal names no limit, or no way out")
    trial.expect(that="-1" not in retries, else_say="a refusal has no Retry-After")
    trial.expect(that=slowest < PROBE_SECS, else_say=f"a health check took {slowest:.1f} s")


def weigh(trial: Trial, *, goodput: float, capacity: float, memory: tuple[float, float], strict: bool) -> None:
    """Compare goodput and memory with what was promised, which only a long run can tell: `strict`."""
    first, last = memory
    trial.figures |= {
        "capacity": f"{capacity:.0f} bodies/s ({2 * flood.ROWS * capacity:,.0f} readings/s)",
        "goodput": f"{goodput:.0f} bodies/s, {goodput / capacity:.0%} of capacity",
        "memory": f"{first / 2**20:.0f} MiB in the first quarter, {last / 2**20:.0f} MiB at the end",
    }
    if strict:
        trial.expect(that=goodput >= GOODPUT_SHARE * capacity, else_say=f"goodput {goodput / capacity:.0%} of capacity")
        trial.expect(that=abs(last / first - 1) <= RSS_SHARE, else_say=f"memory changed by {last / first - 1:+.0%}")


def goodput_of(report: dict[str, Any], secs: float) -> float:
    """Return the bodies acknowledged in a second while the flood was on, but for its first second."""
    during: list[int] = [bodies for second, bodies in report["seconds"] if 1 <= second < secs]
    return sum(during) / max(1.0, secs - 1)


def memory_of(looks: Sequence[Look]) -> tuple[float, float]:
    """Return the mean of the first quarter, without its beginning, and of the last tenth, in bytes."""
    size = len(looks)
    parts = looks[size // 20 : size // 4], looks[size * 9 // 10 :]
    first, last = (sum(look.rss for look in part) / max(1, len(part)) for part in parts)
    return first, last


def recovery(gateway: Gateway) -> float:
    """Return after how many seconds a body is taken in and a health check answered as on a calm day."""
    began = time.monotonic()
    wait_for(lambda: _is_calm(gateway), lambda: "it is calm again", secs=RECOVERY_SECS)
    return time.monotonic() - began


def _is_calm(gateway: Gateway) -> bool:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    try:
        reply = plain_http.post(f"{gateway.url}/v1/readings", json=SMALL, headers=headers, timeout=CALM_SECS)
    except httpx.HTTPError:
        return False
    return reply.status_code == HTTPStatus.OK and gateway.is_ready()


@contextmanager
def looking(gateway: Gateway) -> Iterator[list[Look]]:
    """Look at the gateway again and again, in a thread, until the end of the block."""
    assert gateway.process is not None
    pids = [gateway.process.pid, *descendants(gateway.process.pid)]
    looks: list[Look] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(WATCH_SECS):
            began = time.monotonic()
            with suppress(httpx.HTTPError):
                plain_http.get(f"{gateway.url}/livez", timeout=LOOK_SECS)
            looks.append(Look(sum(map(rss, pids)), time.monotonic() - began))

    thread = threading.Thread(target=look, name="chaos.look", daemon=True)
    thread.start()
    try:
        yield looks
    finally:
        ended.set()
        thread.join(LOOK_SECS)


def rss(pid: int) -> int:
    """Return the resident bytes of a process that nobody else has (proc(5), smaps_rollup), 0 if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


async def unlike(url: str, prefix: str, report: dict[str, Any]) -> list[str]:
    """Say what of a flood is stored and should not be, or the other way round."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        found = await connection.fetch(STORED, prefix, timeout=COUNT_SECS)
    finally:
        await connection.close()
    rows = {int(row["number"]): int(row["rows"]) for row in found}
    expected = dict.fromkeys(report["acknowledged"], flood.ROWS) | dict.fromkeys(report["partly"], flood.ROWS - 1)
    lost = [number for number, count in expected.items() if rows.get(number) != count]
    extra = rows.keys() - expected.keys() - set(report["unanswered"])
    said = [f"{len(lost)} bodies were acknowledged and are not stored whole"] if lost else []
    return said + ([f"{len(extra)} bodies were refused and are stored"] if extra else [])
