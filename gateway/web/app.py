"""The app: settings and a way to open the parts in, a Sanic app out. Knows no route; starts nothing by itself.

`create_app` is called again in every worker process, so it has no side effects beyond the app it returns.
"""

from functools import cache

from gateway.core.settings import Settings
from gateway.web.lifetime import LONE_WORKER, Lifetime, OpenRuntime
from gateway.web.openapi.document import to_document
from gateway.web.operations import OPERATIONS
from gateway.web.pages.api_docs import document_asset
from gateway.web.pages.files import Asset
from gateway.web.server.sanic import App, new_app

NAME = "gateway"
BACKLOG = 2048
"""Connections the kernel keeps for us while we are busy."""
BUFFER_BYTES = 256 * 1024
"""Bytes read ahead of a handler, per connection."""


def create_app(settings: Settings, open_runtime: OpenRuntime, *, worker: str = LONE_WORKER) -> App:
    """Return the app of a worker, with all its routes; `open_runtime` is entered when it starts, left when it stops."""
    app = new_app(NAME, to_config(settings))
    app.ctx.openapi = _document()
    lifetime = Lifetime(settings, open_runtime, worker)
    app.register_listener(lifetime.open, "before_server_start")
    app.register_listener(lifetime.drain, "before_server_stop")
    app.register_listener(lifetime.close, "after_server_stop")
    return app


@cache
def _document() -> Asset:
    return document_asset(to_document(OPERATIONS))


def to_config(settings: Settings) -> dict[str, object]:
    """Return Sanic's configuration."""
    http = settings.http
    return {
        "ACCESS_LOG": http.access_log,
        "AUTO_EXTEND": False,
        "GRACEFUL_SHUTDOWN_TIMEOUT": http.grace_secs,
        "MOTD": False,
        "REQUEST_BUFFER_SIZE": BUFFER_BYTES,
        "REQUEST_MAX_SIZE": http.max_body_bytes,
        "RESPONSE_TIMEOUT": _longest(settings),
    }


def _longest(settings: Settings) -> float:
    """Return how many seconds may pass before a request is answered, or between two parts of an answer.

    It may wait for its body and then for two COMMITs: its own, and the one it queues behind. A stream of history may
    wait for a connection as long as for a statement.
    """
    history = settings.history
    commit = settings.http.body_deadline_secs + 2 * settings.database.write_timeout_secs
    return max(commit, history.wait_secs + 2 * history.timeout_secs + settings.database.connect_timeout_secs)
