"""The parts that handlers work with, as one typed object per worker, found at `app.ctx.gateway`. Makes none.

The runtime opens the parts and hands them over; what is asked of each is in ports.py.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import Any, NamedTuple

from gateway.core.clock import Clock
from gateway.core.settings import HttpSettings, Settings
from gateway.domain.contracts.idempotency import IdempotencyStore
from gateway.domain.contracts.ingest import Authenticator
from gateway.domain.shares import Share, Shares
from gateway.live.streams import Streams
from gateway.services.dead_letter_replay import DeadLetterReplay
from gateway.services.device_listing import DeviceListing
from gateway.services.registry import Registrar
from gateway.telemetry import limit_events
from gateway.telemetry.rates import RateHistory
from gateway.web.cached_view import CachedView
from gateway.web.limits.body_budget import Bodies
from gateway.web.limits.client_address import Addresses
from gateway.web.limits.connection_budget import ConnectionBudgets
from gateway.web.limits.connections import ConnectionLimit
from gateway.web.limits.credential_watch import CredentialWatch
from gateway.web.limits.deadlines import Deadlines
from gateway.web.limits.dropped_bytes import DroppedBytes
from gateway.web.limits.exports import Exports
from gateway.web.limits.fair_turns import FairTurns
from gateway.web.limits.rate_limits import Fields, RateLimits
from gateway.web.limits.scrapes import Scrapes
from gateway.web.limits.unread_answers import UnreadAnswers
from gateway.web.ports import DeviceCounts, Health, HttpIntake, Letters, LiveReader, Stored
from gateway.web.request_ids import RequestIds

SHARE_SECS = 2.0
"""How long a call waits for others of its credential to end."""


class IngestParts(NamedTuple):
    """What readings come in by, and what could not come in."""

    intake: HttpIntake
    receipts: IdempotencyStore
    letters: Letters
    redelivery: DeadLetterReplay


class ReadParts(NamedTuple):
    """What tells of readings: the newest, those that are stored, and each as it comes."""

    live: LiveReader
    stored: Stored
    streams: Streams


class RegistryParts(NamedTuple):
    """What knows devices, metrics and credentials."""

    registrar: Registrar
    listing: DeviceListing
    device_counts: DeviceCounts


class Context:
    """The parts of one worker."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str,
        clock: Clock,
        authenticator: Authenticator,
        ways_in: IngestParts,
        ways_out: ReadParts,
        fleet: RegistryParts,
        health: Callable[[], Awaitable[Health]],
        history: RateHistory,
        devices_changed: Callable[[Collection[str]], None] = lambda _: None,
    ) -> None:
        self.http: HttpSettings = settings.http
        self.worker = worker
        self.clock = clock
        self.authenticator = authenticator
        self.intake, self.receipts, self.letters, self.redelivery = ways_in
        self.live, self.stored, self.streams = ways_out
        self.registrar, self.listing, self.device_counts = fleet
        self.health = health
        self.history = history
        self.devices_changed = devices_changed
        """Told of devices that are known to have changed before this worker has heard of it."""
        self.exports = Exports(settings.history)
        self.overview = CachedView(time.monotonic)
        self.mqtt = bool(settings.mqtt.url)
        """Whether this gateway, though perhaps not this worker, consumes MQTT."""
        self.bodies = Bodies(settings.http)
        limits = RateLimits(settings, monotonic=time.monotonic)
        self.limits = limits if limits.are_set else None
        self.turns = FairTurns()
        self.budgets = ConnectionBudgets(self.bodies, self.turns)
        self.deadlines = Deadlines(min(settings.http.head_deadline_secs, settings.http.keep_alive_secs))
        self.dropped = DroppedBytes()
        self.scrapes = Scrapes(time.monotonic)
        self.unread = UnreadAnswers(settings.http)
        self.connection_limit = ConnectionLimit(settings.http)
        self.addresses = Addresses(settings.http.proxies, header=settings.http.proxy_header)
        self.watch = CredentialWatch(authenticator, settings.auth)
        self.shares = {kind: Shares(share, on_refused=limit_events.share_refused) for kind, share in _shares(settings)}
        """Of the calls that cost more than others, by kind."""
        self.request_ids = RequestIds()
        self.concluding: set[asyncio.Task[Any]] = set()
        """Requests with an Idempotency-Key that are under way, whether or not their client still waits."""
        self.document: Any = None
        """What describes the operations, as a file."""
        self.draining = False
        """Told to stop: not ready any more, connections are closed after their reply."""

    def address(self, peer: str, headers: Fields) -> str:
        """Return the address that a request comes from, as far as its proxies are believed."""
        addresses = self.addresses
        return addresses.of(peer, headers.getall(addresses.header, []) if addresses.believes else ())


def _shares(settings: Settings) -> Iterator[tuple[str, Share]]:
    limits = settings.limits
    yield "lists", Share(limits.lists_per_credential, "limits.lists_per_credential", "lists", SHARE_SECS)
    yield "jobs", Share(limits.jobs_per_credential, "limits.jobs_per_credential", "imports and replays", SHARE_SECS)
