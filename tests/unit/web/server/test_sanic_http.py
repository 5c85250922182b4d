"""What Sanic does not promise and we use: each is named here, and missed in a sentence when Sanic moves it."""

from inspect import iscoroutinefunction, signature

import pytest
import sanic
from sanic import Request
from sanic.http import Http, Stage
from sanic.server.protocols.websocket_protocol import WebSocketProtocol

from gateway.web.server.sanic_http import Http1
from gateway.web.server.sanic_protocol import Http1Connection
from tests.builders.private_names import GATEWAY, foreign_names

FILE, OTHER = "web/server/sanic_http.py", "web/server/sanic_protocol.py"
PRIVATE: dict[type, tuple[str, ...]] = {
    Request: ("_parsed_url",),
    Http: ("_receive_more", "_send"),
    WebSocketProtocol: ("_can_write", "_data_received", "_task", "_time"),
}
INNER: dict[type, tuple[str, ...]] = {
    Http: (
        "HEADER_MAX_SIZE", "expecting_continue", "head_only", "keep_alive", "protocol", "recv_buffer", "request",
        "request_body", "request_bytes", "request_bytes_left", "request_max_size", "response", "response_func", "stage",
        "upgrade_websocket", "url",
    ),
    WebSocketProtocol: (
        "HTTP_CLASS", "access_log", "check_timeouts", "close", "close_if_idle", "conn_info", "connections", "http",
        "recv_buffer", "response_timeout", "state", "transport", "websocket",
    ),
}  # fmt: skip
"""Not private by name, but in no documentation either."""
OVERRIDDEN = {
    "http1_request_header": ["self"],
    "http1_response_header": ["self", "data", "end_stream"],
    "http1": ["self"],
    "read": ["self"],
    "head_response_ignored": ["self", "data", "end_stream"],
}


def test_sanic_has_what_we_use_of_it() -> None:
    for names in (PRIVATE, INNER):
        for owner, attributes in names.items():
            for name in attributes:
                assert hasattr(owner, name), f"Sanic {sanic.__version__} has moved {owner.__name__}.{name}: see {FILE}"


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_sanic_calls_what_we_override(name: str) -> None:
    moved = f"Sanic {sanic.__version__} has changed Http.{name}, which {FILE} overrides"
    assert list(signature(getattr(Http, name)).parameters) == OVERRIDDEN[name], moved
    assert iscoroutinefunction(getattr(Http, name)) == (name != "head_response_ignored"), moved


def test_stages_are_those_that_a_stopping_server_asks_for() -> None:
    assert {"IDLE", "REQUEST", "HANDLER", "RESPONSE"} <= {stage.name for stage in Stage}, (
        f"Sanic has moved Stage: {FILE}"
    )


def test_every_private_name_is_named_here() -> None:
    named = {name for names in PRIVATE.values() for name in names}
    assert foreign_names(GATEWAY / FILE) | foreign_names(GATEWAY / OTHER) <= named
    assert Http1Connection.HTTP_CLASS is Http1
