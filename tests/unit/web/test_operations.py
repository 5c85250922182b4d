"""The table of operations: who may call each, and that nothing else says so."""

import ast
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest
from multidict import CIMultiDict
from sanic import Sanic

from gateway.core.errors import Forbidden, Unauthorized
from gateway.core.settings import Settings
from gateway.domain.principal import Principal, Role
from gateway.web.app import create_app
from gateway.web.http.call import Call, Operation
from gateway.web.http.dispatch import dispatch
from gateway.web.http.responses import Answer
from gateway.web.operations import OPERATIONS
from tests.docs.pages import ROOT

ADMIN, READER, INGEST, DEVICE = Role.ADMIN, Role.READER, Role.INGEST, Role.DEVICE
RULES: list[tuple[set[Role | None], str]] = [
    ({INGEST, ADMIN, DEVICE}, "readings device_readings"),
    ({READER, ADMIN, DEVICE}, "history device_history device_state states_query device stream socket"),
    ({READER, ADMIN}, "devices metric_list fleet"),
    ({ADMIN}, "device_create devices_import device_update device_delete device_rotate metric_put"),
    ({ADMIN}, "keys key_create key_revoke audit ledger"),
    ({ADMIN}, "dead_letters dead_letters_replay dead_letter dead_letter_replay"),
    ({None, *Role}, "page static openapi docs docs_asset livez readyz metrics"),
]
MAY = {label: who for who, labels in RULES for label in labels.split()}
"""Who may call each operation; None is somebody without a credential."""
PRINCIPALS = {
    ADMIN: Principal(ADMIN),
    READER: Principal(READER),
    INGEST: Principal(INGEST, prefix="d"),
    DEVICE: Principal(DEVICE, device="d1"),
}
REACHED = Answer(b"reached")
by_label = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


class Nobody:
    """An authenticator that knows one principal, or none."""

    def __init__(self, principal: Principal | None) -> None:
        self._principal = principal

    def principal(self, _: str | None) -> Principal | None:
        return self._principal

    async def authenticate(self, _: str | None) -> Principal:
        raise Unauthorized


class Parts:
    """What the way to a handler needs of a worker, where no limit is set and nothing is sent."""

    limits = None

    def __init__(self, principal: Principal | None) -> None:
        self.authenticator = Nobody(principal)


class Nothing:
    """No body."""

    has_more, is_here, declared = False, True, 0

    async def read(self) -> None:
        raise AssertionError("nothing was sent")


async def call(operation: Operation, role: Role | None, **path: str) -> object:
    """What comes of a call whose handler does nothing."""
    reached = operation._replace(handle=lambda _call, _parts: REACHED, body=None)
    one: Call[Any, Any] = Call(
        operation=reached,
        path=path,
        query_string="",
        url=b"/",
        headers=CIMultiDict[str](),
        peer="192.0.2.1",
        incoming=Nothing(),
    )
    parts: Any = Parts(None if role is None else PRINCIPALS[role])
    return await dispatch(one, parts)


def test_every_operation_has_its_rule_here() -> None:
    assert {one.label for one in OPERATIONS} == set(MAY)
    assert len({one.label for one in OPERATIONS}) == len(OPERATIONS)
    assert len({(one.method, one.path) for one in OPERATIONS}) == len(OPERATIONS)


def test_every_route_is_an_operation() -> None:
    def never(*_: object) -> None:
        raise AssertionError("no part is opened here")

    app = create_app(Settings(), never)  # type: ignore[arg-type]
    try:
        routed = {(route.ctx.label, method) for route in app.router.routes for method in route.methods}
    finally:
        Sanic.unregister_app(app)
    answered = {
        (one.label, method)
        for one in OPERATIONS
        for method in (one.method, "HEAD")
        if method != "HEAD" or one.method == "GET"
    }
    assert routed == answered


@by_label
@pytest.mark.parametrize("role", [None, *Role], ids=str)
async def test_who_may_call_it(operation: Operation, role: Role | None) -> None:
    path = {"device": "d1"} if "{device}" in operation.path else {}
    if role in MAY[operation.label]:
        assert await call(operation, role, **path) is REACHED
    else:
        with pytest.raises(Unauthorized if role is None else Forbidden) as caught:
            await call(operation, role, **path)
        assert caught.value.message


@pytest.mark.parametrize(
    ("label", "role"),
    [
        (one.label, role)
        for one in OPERATIONS
        if "{device}" in one.path
        for role in (DEVICE, INGEST)
        if role in MAY[one.label]
    ],
)
async def test_of_another_device_it_is_refused_by_name(label: str, role: Role) -> None:
    [operation] = [one for one in OPERATIONS if one.label == label]
    with pytest.raises(Forbidden, match="'x1'") as caught:
        await call(operation, role, device="x1")
    assert caught.value.details == {"device": "x1"}


def names_in(path: Any) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def test_nothing_else_asks_for_a_permission() -> None:
    rule = {"Forbidden", "may_read", "may_write", "writes_any"}
    asking = {path.name for path in (ROOT / "gateway" / "web").rglob("*.py") if rule & set(names_in(path))}
    assert asking == {"permissions.py", "refusals.py"}  # the latter says which problems there are


@by_label
def test_a_handler_is_given_what_the_table_says(operation: Operation) -> None:
    hints = get_type_hints(operation.handle)
    query, content = (hints.get("call") or hints["_call"]).__args__
    body = type(None) if operation.body is None else operation.body.type
    assert (query, content) == (operation.query or type(None), body)


@by_label
def test_what_is_not_asked_for_is_refused(operation: Operation) -> None:
    if operation.query is not None and operation.access.roles:
        assert operation.query.__struct_config__.forbid_unknown_fields
        assert issubclass(operation.query, msgspec.Struct)
