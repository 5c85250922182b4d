"""Callers: a credential of every role and in every state in, with what each may do. Real tokens, from a real store."""

from datetime import timedelta
from typing import NamedTuple

from gateway.domain.credentials import digest_of, new_token
from gateway.domain.principal import Principal, Role
from gateway.ingest.admission.auth import TokenAuthenticator
from tests.fakes.clock import ManualClock
from tests.fakes.credentials import MemoryCredentials

OWN, NEAR, FAR = "d1", "d2", "x1"
"""The device of the device tokens, another within the prefix of the ingest key, and one outside of it."""
PREFIX = "d"
BOOTSTRAP = "a-bootstrap-key"
HOUR = timedelta(hours=1)


class Caller(NamedTuple):
    """Somebody who calls."""

    name: str
    authorization: str | None
    role: Role | None
    """None: the credential is not valid, or there is none."""
    device: str | None = None
    prefix: str = ""

    def touches(self, target: str | None) -> bool:
        """Whether this device is among those that the credential is for."""
        if target is None or self.role is None:
            return True
        return target == self.device if self.role is Role.DEVICE else target.startswith(self.prefix)


class Issuer:
    """Makes credentials, and has some of them end."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._store = MemoryCredentials(clock=self._clock)
        self.authenticator = TokenAuthenticator(
            self._store, admin_key=BOOTSTRAP, clock=self._clock, refusals_per_sec=1e9
        )

    async def callers(self) -> list[Caller]:
        """Return everybody. Those whose credential has ended were known here before it did."""
        for name in (OWN, NEAR, "d9"):
            self._store.add_device(name)
        valid = [
            Caller("device", await self._issue(Role.DEVICE, device=OWN), Role.DEVICE, device=OWN),
            Caller("ingest", await self._issue(Role.INGEST), Role.INGEST),
            Caller("ingest with a prefix", await self._issue(Role.INGEST, prefix=PREFIX), Role.INGEST, prefix=PREFIX),
            Caller("reader", await self._issue(Role.READER), Role.READER),
            Caller("admin", await self._issue(Role.ADMIN), Role.ADMIN),
            Caller("bootstrap", f"Bearer {BOOTSTRAP}", Role.ADMIN),
        ]
        return [*valid, *await self._ended(), *_never()]

    async def _ended(self) -> list[Caller]:
        expired = [await self._issue(role, lifetime=HOUR) for role in (Role.INGEST, Role.READER, Role.ADMIN)]
        revoked = [await self._issue(role) for role in (Role.INGEST, Role.READER, Role.ADMIN)]
        disabled = await self._issue(Role.DEVICE, device="d9")
        rotated = await self._issue(Role.DEVICE, device=NEAR)
        old = await self._issue(Role.DEVICE, device=OWN, lifetime=HOUR)
        self._clock.advance(3600)
        for one in await self._store.page():
            if one.role is not Role.DEVICE and one.id in range(*self._ids(revoked)):
                await self._store.revoke(one.id)
        self._store.set_enabled("d9", enabled=False)
        await self._store.rotate(NEAR, overlap=timedelta())
        self.authenticator.tell({digest_of(header.split()[1]): None for header in (*revoked, disabled, rotated)})
        ended = {
            "expired": [*expired, old],
            "revoked": revoked,
            "of a disabled device": [disabled],
            "rotated": [rotated],
        }
        return [
            Caller(f"{why} ({number})", header, None)
            for why, headers in ended.items()
            for number, header in enumerate(headers)
        ]

    async def _issue(self, role: Role, **grant: object) -> str:
        """Make a token and show it once, so that it is known."""
        issued = await self._store.issue(role, **grant)  # type: ignore[arg-type]
        header = f"Bearer {issued.token}"
        await self.authenticator.authenticate(header)
        return header

    def _ids(self, headers: list[str]) -> tuple[int, int]:
        principals = [self.authenticator.principal(header) for header in headers]
        ids = [one.key for one in principals if isinstance(one, Principal)]
        return min(ids), max(ids) + 1


def _never() -> list[Caller]:
    """Those who never had a credential."""
    headers = {
        "nobody": None,
        "a token that was never issued": f"Bearer {new_token(Role.ADMIN)}",
        "nonsense": "Bearer nonsense",
        "another scheme": "Basic YWRtaW46YWRtaW4=",
        "an empty token": "Bearer ",
        "almost the bootstrap key": f"Bearer {BOOTSTRAP}x",
    }
    return [Caller(name, header, None) for name, header in headers.items()]
