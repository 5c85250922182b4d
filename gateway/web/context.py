"""What handlers work with, as one typed object per worker, found at `app.ctx.gateway`. Holds parts, makes none.

The runtime opens the parts and hands them over; what is asked of each is in parts.py.
"""

from collections.abc import Awaitable, Callable

from sanic import Request

from gateway.contracts import Clock, Receipts
from gateway.redelivery import Redelivery
from gateway.settings import Http, Settings
from gateway.web.bodies import Bodies
from gateway.web.parts import Authenticator, Health, Intake, Letters, LiveReader
from gateway.web.request_ids import RequestIds


class Context:
    """The parts of one worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str,
        intake: Intake,
        authenticator: Authenticator,
        live: LiveReader,
        letters: Letters,
        redelivery: Redelivery,
        receipts: Receipts,
        health: Callable[[], Awaitable[Health]],
        clock: Clock,
    ) -> None:
        self.http: Http = settings.http
        self.worker = worker
        self.intake = intake
        self.authenticator = authenticator
        self.live = live
        self.letters = letters
        self.redelivery = redelivery
        self.receipts = receipts
        self.health = health
        self.clock = clock
        self.bodies = Bodies(settings.http)
        self.request_ids = RequestIds()
        self.draining = False
        """Told to stop: not ready any more, connections are closed after their reply."""


def context_of(request: Request) -> Context:
    """Return the context of the app that serves this request."""
    context: Context = request.app.ctx.gateway
    return context
