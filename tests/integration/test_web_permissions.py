"""The matrix of permissions: every operation, by every role and state of a credential, of its own and other devices.

Made from the table of operations, and asked over a socket of a running server, with real tokens in a real
authenticator. Handlers that need parts which are not here answer at once; all that name devices in what is sent to them
are their own. An operation without a row fails.
"""

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson
import pytest

from gateway.core.settings import Settings
from gateway.domain.history import RowPage
from gateway.domain.principal import Role
from gateway.web.http.call import Operation
from gateway.web.http.responses import Answer
from gateway.web.operations import BY_LABEL, OPERATIONS
from gateway.web.server import sanic
from tests.builders.callers import FAR, NEAR, OWN, Caller, Issuer
from tests.integration.tight import code_of
from tests.integration.web_server import Door, ScriptedIntake, known_state, serving

ADMIN, READER, INGEST, DEVICE = Role.ADMIN, Role.READER, Role.INGEST, Role.DEVICE
RULES: list[tuple[Collection[Role | None], str]] = [
    ((INGEST, ADMIN, DEVICE), "readings device_readings"),
    ((READER, ADMIN, DEVICE), "history device_history device_state states_query device stream socket"),
    ((READER, ADMIN), "devices metric_list fleet"),
    ((ADMIN,), "device_create devices_import device_update device_delete device_rotate metric_put"),
    ((ADMIN,), "keys key_create key_revoke audit ledger"),
    ((ADMIN,), "dead_letters dead_letters_replay dead_letter dead_letter_replay"),
    ((None, *Role), "page static openapi docs docs_asset livez readyz metrics"),
]
MAY = {label: who for who, labels in RULES for label in labels.split()}
"""Who may call each operation; None is somebody without a valid credential."""
BY_CONTENT = {"readings", "history", "states_query", "stream", "socket"}
"""Operations that are told of devices in their body, their parameters, or messages."""
ONE_BY_ONE = "readings"
"""Of its readings those of other devices are refused each for itself, by the intake."""
DIRECT = {"readings", "device_readings", "device_state"}
"""Operations that are answered from memory once the credential is known."""
TIMES = dict.fromkeys(DIRECT, 2)
ALLOWED = range(200, 500)
CODES = {401: "unauthorized", 403: "forbidden"}
DEVICES = (OWN, NEAR, FAR)
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
}


class Case(NamedTuple):
    """One request of one caller."""

    operation: Operation
    caller: Caller
    target: str | None
    """The device that it is about, if it is about one."""
    by_subprotocol: bool = False

    @property
    def expected(self) -> int:
        """The status, or 200 for any that says the caller may."""
        if not self.operation.access.roles:
            return 200
        if self.caller.role is None:
            return 401
        touches = self.caller.touches(self.target) or self.operation.label == ONE_BY_ONE
        return 200 if self.caller.role in MAY[self.operation.label] and touches else 403

    def __str__(self) -> str:
        return f"{self.operation.label} of {self.target} by {self.caller.name}"


class NothingStored:
    """A history without readings."""

    async def page(self, *_: object, **__: object) -> RowPage:
        return RowPage([], None)


class WatchedIntake(ScriptedIntake):
    """Notes also what the fast path would take in of a device that the path names."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: list[bool] = []
        """Whether its sender may write that device."""

    def at_once(self, body: bytes, **about: Any) -> None:  # noqa: ARG002 - it has the names of what it stands for
        principal, device = about["principal"], about["device"]
        self.offered += [] if device is None else [principal.may_write(device)]


class GuardedDoor(Door):
    """A server whose credentials are real."""

    issuer: Issuer

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.authenticator = self.issuer.authenticator  # type: ignore[assignment]
        self.stored = NothingStored()
        self.intake: WatchedIntake = WatchedIntake()
        self.live.known = {name: known_state(name, {}) for name in DEVICES}


def reached(_call: object, _parts: object) -> Answer:
    return Answer(b"{}")


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[GuardedDoor, list[Caller]]]:
    issuer = Issuer()
    callers = await issuer.callers()
    own = BY_CONTENT | DIRECT
    with pytest.MonkeyPatch.context() as patch:
        answering = [one if one.label in own else one._replace(handle=reached, body=None) for one in OPERATIONS]
        patch.setattr(sanic, "OPERATIONS", tuple(answering))
        patch.setattr(GuardedDoor, "issuer", issuer, raising=False)
        async with serving(make=GuardedDoor) as door:
            assert isinstance(door, GuardedDoor)
            yield door, callers


def cases(operation: Operation, callers: list[Caller]) -> Iterator[Case]:
    names_device = "{device}" in operation.path or operation.label in BY_CONTENT
    for caller in callers:
        for target in DEVICES if names_device else (None,):
            yield Case(operation, caller, target)
            if operation.upgrades and caller.authorization and caller.authorization.startswith("Bearer gw"):
                yield Case(operation, caller, target, by_subprotocol=True)


def request_of(case: Case) -> bytes:
    """The bytes of a request as it should be, but for who sends it."""
    operation, target = case.operation, case.target
    path = re.sub(r"\{(\w+)[^}]*\}", lambda found: str(target) if found[1] == "device" else "7", operation.path)
    body, more = b"", dict[str, str]()
    if operation.label in ("readings", "device_readings"):
        body = orjson.dumps({"device": target, "metric": "t", "value": 1.5})
    elif operation.label == "states_query":
        body = orjson.dumps({"devices": [target]})
    elif operation.label in ("history", "stream"):
        path += f"?device={quote(str(target))}"
    elif operation.upgrades:
        more |= HANDSHAKE
    if case.by_subprotocol:
        more["Sec-WebSocket-Protocol"] = f"gateway.v1, bearer.{str(case.caller.authorization).removeprefix('Bearer ')}"
    elif case.caller.authorization is not None:
        more["Authorization"] = case.caller.authorization
    if body:
        more |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [
        f"{operation.method} {path} HTTP/1.1",
        "Host: gateway",
        *[f"{name}: {text}" for name, text in more.items()],
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def told(door: Door, case: Case) -> tuple[int, object]:
    """The status and the code of what comes back; of a WebSocket, what a subscription is told."""
    wire = await door.raw()
    try:
        await wire.send(request_of(case))
        answer = await wire.answer()
        assert answer.headers.get("www-authenticate") == ("Bearer" if answer.status == 401 else None)
        if answer.status == 101:
            return await subscribed(wire, case)
        return answer.status, code_of(answer.body) if answer.status >= 400 else None
    finally:
        await wire.close()


async def subscribed(wire: Any, case: Case) -> tuple[int, object]:
    """What a subscription to the device is told, as a status: roles that may not read have no socket."""
    message = orjson.dumps({"type": "subscribe", "id": "a", "device": [case.target], "snapshot": False})
    mask = b"\x01\x02\x03\x04"
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(message))
    assert len(message) < 126
    await wire.send(bytes([0x81, 0x80 | len(message)]) + mask + masked)
    async with asyncio.timeout(10):
        while True:
            _, size = await wire._reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await wire._reader.readexactly(2), "big")
            said = orjson.loads(await wire._reader.readexactly(size))
            if said["type"] == "subscribed":
                return 200, None
            if said["type"] == "error":
                return 403, said["code"]


def test_every_operation_has_its_row() -> None:
    labels = [one.label for one in OPERATIONS]
    assert set(labels) == set(MAY)
    assert len(set(labels)) == len(labels)
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(labels)
    guarded_by_nobody = {one.label for one in OPERATIONS if not one.access.roles}
    assert guarded_by_nobody == {label for label, who in MAY.items() if None in who}


async def test_who_may_do_what_to_which_device() -> None:
    asked = 0
    async with guarded() as (door, callers):
        assert len({caller.name for caller in callers}) == len(callers) == 21
        for operation in OPERATIONS:
            for case in cases(operation, callers):
                status, code = await told(door, case)
                if case.expected == 200:
                    assert status in ALLOWED, str(case)
                    assert status not in CODES, (str(case), code)
                else:
                    assert (status, code) == (case.expected, CODES[case.expected]), str(case)
                asked += 1
        assert len(door.intake.offered) == 1 + 3 + 2 + 3 + 3, "of each that may, for each device"
        assert all(door.intake.offered)
        assert door.live.asked_soon
    assert asked > 1000


async def test_a_credential_in_a_subprotocol_counts_for_a_websocket_alone() -> None:
    async with guarded() as (door, callers):
        [admin] = [caller for caller in callers if caller.name == "admin"]
        for operation in [one for one in OPERATIONS if one.access.roles]:
            status, _ = await told(door, Case(operation, admin, OWN, by_subprotocol=True))
            assert (status == 401) != operation.upgrades, operation.label


async def test_the_intake_is_told_who_sends_readings_and_may_refuse_each() -> None:
    async with guarded() as (door, callers):
        for case in cases(BY_LABEL[ONE_BY_ONE], callers):
            door.intake.taken.clear()
            await told(door, case)
            allowed = [one.principal.may_write(str(case.target)) for one in door.intake.taken]
            if case.caller.role in MAY[ONE_BY_ONE]:
                assert allowed == [case.caller.touches(case.target)], str(case)
            else:
                assert allowed == [], str(case)
