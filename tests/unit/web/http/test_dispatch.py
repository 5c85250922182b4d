"""The way of a request through its operation: which of several faults is told, and that no body is read for it."""

from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.core.errors import BadRequest, Forbidden, GatewayError, Unauthorized, UnsupportedMedia
from gateway.domain.principal import Principal, Role
from gateway.web.http.call import Call, Operation
from gateway.web.http.dispatch import dispatch
from gateway.web.operations import OPERATIONS

GUARDED = [one for one in OPERATIONS if one.access.roles]
PRINCIPALS = {
    Role.INGEST: Principal(Role.INGEST),
    Role.ADMIN: Principal(Role.ADMIN),
    Role.READER: Principal(Role.READER),
}


class Unread:
    """A body that must not be looked at."""

    has_more, is_here, declared = True, False, 9

    async def read(self) -> None:
        raise AssertionError("the body was read")


class Known:
    """An authenticator that knows one principal, or none."""

    def __init__(self, principal: Principal | None) -> None:
        self._principal = principal

    def principal(self, _: str | None) -> Principal | None:
        return self._principal

    async def authenticate(self, _: str | None, __: str = "", **___: object) -> Principal:
        raise Unauthorized

    def still(self, _: str | None, principal: Principal) -> bool:
        return principal == self._principal

    def unheard_secs(self, _: str | None) -> float:
        return 0.0


class Parts:
    """A worker without limits, whose budget for bodies must not be touched."""

    limits, bodies = None, None

    def __init__(self, principal: Principal | None) -> None:
        self.authenticator = Known(principal)

    def address(self, peer: str, _: object) -> str:
        return peer


async def refusal(
    operation: Operation, role: Role | None, *, device: str = "d1", media: str = "image/png", query: str = "nix=1"
) -> GatewayError:
    """What a call is told in which nothing else is right."""
    one: Call[Any, Any] = Call(
        operation=operation,
        path={"device": device} if "{device}" in operation.path else {},
        query_string=query,
        url=b"/",
        headers=CIMultiDict({"content-type": media}),
        peer="192.0.2.1",
        incoming=Unread(),
    )
    parts: Any = Parts(None if role is None else PRINCIPALS[role])
    with pytest.raises(GatewayError) as caught:
        await dispatch(one, parts)
    return caught.value


def refused_role(operation: Operation) -> Role:
    return next(role for role in (Role.INGEST, Role.READER) if role not in operation.access.roles)


by_label = pytest.mark.parametrize("operation", GUARDED, ids=lambda operation: operation.label)


@by_label
async def test_who_may_not_call_it_hears_of_nothing_else(operation: Operation) -> None:
    assert type(await refusal(operation, None)) is Unauthorized
    assert type(await refusal(operation, refused_role(operation))) is Forbidden


@by_label
async def test_then_the_media_type_then_the_parameters(operation: Operation) -> None:
    media = operation.body.media if operation.body is not None else ()
    if media:
        told = await refusal(operation, Role.ADMIN)
        assert type(told) is UnsupportedMedia
        assert told.details["accepted"] == ", ".join(media)
    if operation.query is not None:
        told = await refusal(operation, Role.ADMIN, media=media[0] if media else "image/png")
        assert (type(told), told.details) == (BadRequest, {"parameter": "'nix'"})


@pytest.mark.parametrize("operation", [one for one in GUARDED if "{device}" in one.path], ids=lambda one: one.label)
async def test_a_name_that_no_device_can_have_is_told_first(operation: Operation) -> None:
    told = await refusal(operation, None, device="a b")
    assert (type(told), told.details) == (BadRequest, {"parameter": "device"})
