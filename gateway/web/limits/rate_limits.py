"""Requests in, RateLimited or the RateLimit headers out: who asks, and what each limit has counted of it.

A request is counted where it is identified: against its address before anything is looked up, then against its
credential. A body is counted by its declared size before it is read; its readings when they are known, and by then it
is taken whole, so that what was too much is paid for by the next one. Nothing here waits.

The headers follow draft-ietf-httpapi-ratelimit-headers-11. `qu="readings"` is ours: its registry knows no such unit.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from typing import NamedTuple, Protocol

from gateway.core import settings
from gateway.core.errors import RateLimited
from gateway.domain.contracts.ingest import Charge
from gateway.domain.principal import Principal, Role
from gateway.domain.rate_limit import Meter, Meters, Rate, to_meter, to_meters
from gateway.telemetry import limit_events
from gateway.web.limits.client_address import Addresses

ADDRESS, CREDENTIAL = "address", "credential"
QUOTA_UNITS = {"requests": "", "bytes": ';qu="content-bytes"', "readings": ';qu="readings"'}
NONE = Meters(None, None, None)
Payer = tuple[Meters, Hashable, str]
"""Meters, under which name they count, and whether that is an address or a credential."""


class Fields(Protocol):
    """The headers of a request."""

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values of a field, in order."""
        ...


class LimitCount(NamedTuple):
    """A meter that counts a request, and under which name."""

    meter: Meter
    caller: Hashable
    scope: str


class Visit:
    """One request: what counts it."""

    __slots__ = ("callers", "counts", "declared", "refused", "wait")

    def __init__(self) -> None:
        self.callers: list[Payer] = []
        """The address and the credential, as far as they have limits."""
        self.counts: dict[Meter, LimitCount] = {}
        """Every meter that was asked."""
        self.refused: LimitCount | None = None
        self.declared: int | None = 0
        """Bytes of the body of readings; None if they are not declared."""
        self.wait = 0.0
        """Seconds until the one that refused lets the request pass."""


class RateLimits:
    """The limits of one worker."""

    def __init__(self, tree: settings.Settings, *, monotonic: Callable[[], float]) -> None:
        """Raise SettingsError if http.proxies cannot be read."""
        share = tree.http.workers
        self._monotonic = monotonic
        self._policy = cache(_policies)  # there are as many as kinds of requests
        self._addresses = Addresses(tree.http.proxies, header=tree.http.proxy_header)
        self._of_address = to_meters(tree.limits, ADDRESS, share=share)
        self._of_device = to_meters(tree.limits, "device", share=share)
        self._of_key = to_meters(tree.limits, "key", share=share)
        self._backfill = to_meter(tree.limits, "backfill_readings_per_sec", "readings", share=share)

    @property
    def are_set(self) -> bool:
        """Whether there is any."""
        parts = (self._of_address, self._of_device, self._of_key, self._backfill)
        return any(part is not None for part in parts)

    def arrive(self, visit: Visit, peer: str, headers: Fields) -> None:
        """Count a request of somebody against its address. Raises RateLimited."""
        forwarded = headers.getall(self._addresses.header, []) if self._addresses.believes else ()
        for payer in self._at(peer, forwarded):
            self._enter(visit, payer)

    def identified(self, visit: Visit, principal: Principal) -> None:
        """Count the request against its credential, too. Raises RateLimited."""
        self._enter(visit, self._with(principal))

    def send(self, visit: Visit, declared: int | None, *, backfill: bool, most_bytes: int) -> None:
        """Count the declared size of a body of readings, before it is read. Raises RateLimited.

        What is declared beyond `most_bytes` is refused by its size, and does not count.
        """
        visit.declared = declared
        size = declared or 0
        self._send(visit, size if size <= most_bytes else 0, backfill=backfill)

    def _send(self, visit: Visit, size: int, *, backfill: bool) -> None:
        payers = self._paying(visit, backfill=backfill)
        for meters, caller, scope in payers:
            if meters.readings is not None:
                self._look(visit, LimitCount(meters.readings, caller, scope))
        for meters, caller, scope in payers:
            if meters.bytes is not None:
                self._pass(visit, LimitCount(meters.bytes, caller, scope), size)

    def counting(self, visit: Visit, body: bytes, *, backfill: bool) -> Charge:
        """Return what counts the readings of the body, before they are stored. It raises RateLimited.

        Of a body whose size was not declared it counts the bytes, decompressed.
        """
        size = len(body) if visit.declared is None else 0

        async def count(readings: int) -> bool:
            self._charge(visit, readings, size, backfill=backfill)
            return backfill

        return count

    def _charge(self, visit: Visit, readings: int, size: int, *, backfill: bool) -> None:
        now = self._monotonic()
        payers = self._paying(visit, backfill=backfill)
        for meters, caller, scope in payers:
            if meters.readings is not None:  # others of the same caller may have been counted meanwhile
                self._look(visit, LimitCount(meters.readings, caller, scope))
        for meters, caller, _ in payers:
            if meters.readings is not None:
                meters.readings.charge(caller, readings, now)
            if meters.bytes is not None and size:
                meters.bytes.charge(caller, size, now)

    def look(
        self, principal: Principal, peer: str, hops: Sequence[tuple[str, str]], *, size: int | None = None
    ) -> Visit | None:
        """Return the visit of a request that nothing would refuse now; None if something would. Counts nothing.

        `hops` are names and values of headers; `size` is that of a body of readings, in bytes.
        """
        visit = Visit()
        forwarded = (
            [value for name, value in hops if name == self._addresses.header] if self._addresses.believes else ()
        )
        visit.callers = [*self._at(peer, forwarded), self._with(principal)]
        visit.declared = size
        now = self._monotonic()
        units = (1, 0, 0) if size is None else (1, 1, size)
        for meters, caller, _ in visit.callers:
            for meter, most in zip(meters, units, strict=True):
                if meter is not None and most and meter.wait(caller, most, now):
                    return None
        return visit

    def enter(self, visit: Visit, readings: int | None = None) -> None:
        """Count what `look` let through, in the same callback; `readings` are those of its body."""
        for meters, caller, scope in visit.callers:
            if meters.requests is not None:
                self._pass(visit, LimitCount(meters.requests, caller, scope), 1)
        if readings is not None:
            self._send(visit, visit.declared or 0, backfill=False)
            self._charge(visit, readings, 0, backfill=False)

    def tell(self, visit: Visit) -> dict[str, str]:
        """Return the headers that tell what is left: of the limit that refused, or of the one that is nearest."""
        if not visit.counts:
            return {}
        now = self._monotonic()
        meter, caller, _ = visit.refused or min(visit.counts.values(), key=lambda count: _share_left(count, now))
        units, full_in = meter.left(caller, now)
        secs = math.ceil(visit.wait or full_in)
        return {
            "ratelimit-policy": self._policy(tuple(visit.counts)),
            "ratelimit": f'"{meter.rate.name}";r={units};t={secs}',
        }

    def _paying(self, visit: Visit, *, backfill: bool) -> list[Payer]:
        """Return who pays for a body: backfill of a credential has a purse of its own, if that is set."""
        if not backfill or self._backfill is None:
            return visit.callers
        purse = Meters(None, self._backfill, None)
        return [(purse if scope == CREDENTIAL else meters, caller, scope) for meters, caller, scope in visit.callers]

    def _at(self, peer: str, forwarded: Sequence[str]) -> list[Payer]:
        """Return the address, if there are limits of addresses."""
        if self._of_address is None:
            return []
        return [(self._of_address, self._addresses.of(peer, forwarded), ADDRESS)]

    def _with(self, principal: Principal) -> Payer:
        """Return the credential: all tokens of a device are one caller, any other is known by its id."""
        if principal.role is Role.DEVICE:
            return self._of_device or NONE, principal.device, CREDENTIAL
        return self._of_key or NONE, principal.key, CREDENTIAL

    def _enter(self, visit: Visit, payer: Payer) -> None:
        visit.callers.append(payer)
        meters, caller, scope = payer
        if meters.requests is not None:
            self._pass(visit, LimitCount(meters.requests, caller, scope), 1)

    def _pass(self, visit: Visit, count: LimitCount, units: float) -> None:
        visit.counts[count.meter] = count
        wait = count.meter.take(count.caller, units, self._monotonic())
        if wait:
            raise _refusal(visit, count, wait)

    def _look(self, visit: Visit, count: LimitCount) -> None:
        visit.counts[count.meter] = count
        wait = count.meter.wait(count.caller, 1, self._monotonic())
        if wait:
            raise _refusal(visit, count, wait)


def _refusal(visit: Visit, count: LimitCount, wait: float) -> RateLimited:
    visit.refused, visit.wait = count, wait
    rate = count.meter.rate
    limit_events.refused(rate.name, count.scope)
    return RateLimited(
        f"more than {rate.value:g} {rate.unit} a second of one {count.scope} ({rate.name}); "
        f"come back in {math.ceil(wait * 1000)} ms, or send less at once",
        retry_after=wait,
        limit=rate.name,
        value=rate.value,
        scope=count.scope,
        retry_after_ms=math.ceil(wait * 1000),
    )


def _share_left(count: LimitCount, now: float) -> float:
    return count.meter.left(count.caller, now).units / count.meter.rate.burst


def _policies(meters: Sequence[Meter]) -> str:
    return ", ".join([_policy(meter.rate) for meter in meters])


def _policy(rate: Rate) -> str:
    window = max(1, math.ceil(rate.burst / rate.per_sec))
    return f'"{rate.name}";q={int(rate.burst)};w={window}{QUOTA_UNITS[rate.unit]}'
