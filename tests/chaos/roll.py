"""In: servers, a load. Out: whether two gateways can be restarted one after the other and nobody notices.

Two gateways share one MQTT subscription and stand behind a balancer that honours /readyz. Restarting is what
docs/operations.md says: SIGTERM, wait for exit code 0, start, wait for /readyz, go on with the next one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.chaos.balancer import Balancer, balancer
from tests.chaos.books import exit_line
from tests.chaos.campaign import Load
from tests.chaos.scene import Ground, Restarted, settings_of
from tests.chaos.trial import Trial
from tests.e2e.serving import Gateway, simulate, wait_for

DRAIN_SECS = 2.0
"""As long a gateway that was told to stop goes on serving: ten looks of the balancer."""
SEEN_SECS = 10.0
FLOW_SECS = 0.5
LONGEST_SECS = 600.0


def roll(servers: Ground, *, rounds: int, load: Load) -> Trial:
    """Restart both gateways, `rounds` times each, under load over both doors."""
    trial = Trial("roll")
    with ExitStack() as stack:
        gateways = [stack.enter_context(_member(servers, name)) for name in ("a", "b")]
        for each in gateways:
            each.wait_ready()
        front = stack.enter_context(balancer([each.port for each in gateways]))
        _until_ready(front, gateways)
        settings = gateways[0].environ
        simulator = simulate(
            Gateway(settings, servers.folder / "none", port=front.port),
            servers.folder,
            *load.options(LONGEST_SECS, seed=1, age_secs=0),
            *("--watch", "0"),  # the balancer carries no streams, and a gateway that drains takes no new ones
        )
        stack.callback(simulator.close)
        wait_for(lambda: sum(front.answered.values()) > 0, lambda: "the load flows", secs=SEEN_SECS)
        began = time.monotonic()
        for number in range(2 * rounds):
            _restart(gateways[number % 2], front, trial)
        trial.figures["restarts"] = f"{2 * rounds} in {time.monotonic() - began:.0f} s"
        simulator.stop()
        code, report, output = simulator.finish()
        trial.take_verdict(code, report, output)
        trial.figures["requests"] = f"{sum(front.answered.values()):,}"
        trial.figures["failed requests"] = str(sum(front.failures.values()))
        trial.expect(that=not front.failures, else_say=f"requests failed: {dict(front.failures)}")
        again = {lane["transport"]: lane["errors"] for lane in report.get("lanes", []) if lane["errors"]}
        trial.expect(that=not again, else_say=f"the simulator had to try again: {again}")
        served = [front.answered[each.port] for each in gateways]
        trial.expect(that=min(served) > 0, else_say=f"one gateway got no requests: {served}")
    return trial


@contextmanager
def _member(servers: Ground, name: str) -> Iterator[Gateway]:
    """One of two gateways, launched: they must not share the folder of the spool and the name at the broker."""
    environ = settings_of(servers) | {
        "GATEWAY_MQTT__SHARE": "roll",
        "GATEWAY_MQTT__CLIENT_ID": f"gateway-{name}",
        "GATEWAY_SPOOL__DIR": os.fspath(servers.folder / f"spool-{name}"),
        "GATEWAY_HTTP__DRAIN_SECS": str(DRAIN_SECS),
    }
    gateway = Restarted(environ, servers.folder / f"gateway-{name}.log")
    try:
        gateway.launch()
        yield gateway
    finally:
        gateway.close()


def _restart(gateway: Gateway, front: Balancer, trial: Trial) -> None:
    code = gateway.terminate()
    trial.expect(that=code == 0, else_say=f"a gateway ended with {code} on SIGTERM")
    books = exit_line(gateway.log)
    for term in ("interrupted", "queued", "failed"):
        trial.expect(that=books[term] == 0, else_say=f"at its end {books[term]} readings were {term}: {books}")
    gateway.start()
    _until_ready(front, [gateway])
    before = front.answered[gateway.port]
    wait_for(lambda: front.answered[gateway.port] > before, lambda: "it serves again", secs=SEEN_SECS)
    time.sleep(FLOW_SECS)  # for the load to go on with both


def _until_ready(front: Balancer, gateways: list[Gateway]) -> None:
    ports = {each.port for each in gateways}
    wait_for(lambda: ports <= front.ready, lambda: "the balancer sees them ready", secs=SEEN_SECS)
