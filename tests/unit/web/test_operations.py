"""The table of operations: what is made of it, and that nothing else says who may call what."""

import ast
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest
from sanic import Sanic

from gateway.core.settings import Settings
from gateway.web.app import create_app
from gateway.web.http.call import Operation
from gateway.web.operations import OPERATIONS
from tests.docs.pages import ROOT

by_label = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)


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
