"""The gateway as a target: enrolment, the native shapes, receipts, and history through its API."""

from simulator.core.errors import ConnectionLost, Unreachable
from simulator.plan.faults import Fault
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient
from simulator.send.faults.truth import Truth, Truths
from simulator.send.target import Codec, Registry, Target
from simulator.targets.enrolment import Enrolment
from simulator.targets.native import Native
from simulator.verify.history import History
from simulator.verify.source import Source

_UNAUTHORIZED = 401


class GatewayTarget(Target):
    """A gateway; every fault has its one right answer there."""

    name = "gateway"
    transports = frozenset({"http", "mqtt"})
    compression = frozenset({"none", "gzip", "zstd"})
    faults = frozenset(Fault)
    shows_states = True

    def codec(self, part: Part) -> Codec:
        """Return the codec of the native shapes."""
        return Native(part.fleet.metrics, part.lane, shapes=part.shapes)

    def truth(self, part: Part) -> Truths:
        """Return what the documentation says is right."""
        return Truth(part.draw, part.lane)

    async def knock(self, client: HttpClient) -> None:
        """Ask for a state, as `Target.knock` says."""
        try:
            response = await client.post(b'{"devices":["simulator"]}', path="/v1/states:query")
        except ConnectionLost as error:
            raise Unreachable(f"The gateway at {client.url} does not answer: {error}.") from error
        if response.status == _UNAUTHORIZED:
            raise Unreachable(f"The gateway at {client.url} does not take our key: give one with --key-file.")

    def registry(self, client: HttpClient, plan: Plan, *, is_begun: bool = False) -> Registry:
        """Return the enrolment of the run's devices."""
        return Enrolment.of_before(client, plan) if is_begun else Enrolment(client, plan)

    def source(self, client: HttpClient) -> Source:
        """Return the history, page by page."""
        return History(client)
