"""`python -m tests.servers.decode [rounds]`: what reading the bodies of the bench costs, in process, without a server.

Prints for each workload the CPU µs of one `wire.decode`: the least and the median of the rounds, in which workloads
take turns. To judge a change run it on both trees in turn, a few times: the machine's noise moves the least the least.
"""

import statistics
import sys
import time
from collections.abc import Callable

from gateway.domain.layouts import Layouts
from gateway.ingest import wire
from simulator.measure.bench.posts import Posts, to_templates
from simulator.measure.bench.workloads import WORKLOADS

SLICE_SECS = 0.01
"""CPU time of one workload in one round."""
START_MS = 1_764_500_000_000
TEXT = b'"2026-11-30T10:00:00.123+01:00"'
STAMP = str(START_MS).encode()


def bodies() -> dict[str, bytes]:
    found = {}
    for name in ("W1", "W2", "W3", "W3f"):
        form = WORKLOADS[name].form
        posts = Posts(to_templates(form, prefix="bench", head=lambda _: b""), form=form, start_ms=START_MS)
        found[name] = posts.next()[1]
    texts = {f"{name}, ts as text": found[name].replace(STAMP, TEXT) for name in ("W1", "W3")}
    nulls = {f"{name}, ts null": found[name].replace(STAMP, b"null") for name in ("W1", "W3")}
    return found | texts | nulls


def reader(body: bytes) -> Callable[[], object]:
    layouts = Layouts()
    return lambda: wire.decode(body, None, layouts, device=None, received_us=START_MS * 1000, max_readings=10_000)


def cost_us(read: Callable[[], object]) -> float:
    calls, begun = 0, time.process_time_ns()
    while (spent := time.process_time_ns() - begun) < SLICE_SECS * 1e9:
        for _ in range(20):
            read()
        calls += 20
    return spent / calls / 1000


def main(rounds: int) -> None:
    readers = {name: reader(body) for name, body in bodies().items()}
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        for name, read in readers.items():
            found[name].append(cost_us(read))
    for name, costs in found.items():
        sys.stdout.write(f"{name:16} {min(costs):8.2f} {statistics.median(costs):8.2f}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
