"""Settings and a way to open the parts in, a Sanic app out. The only list of routes; starts nothing by itself.

`create_app` is called again in every worker process, so it has no side effects beyond the app it returns.
"""

from random import SystemRandom
from urllib.parse import unquote

from sanic import Sanic
from sanic.config import Config

from gateway.letters import MAX_ID
from gateway.settings import Settings
from gateway.web import deadletters, ingest, latest, ops
from gateway.web.ledger import get_ledger
from gateway.web.lifetime import App, Lifetime, OpenRuntime
from gateway.web.problems import Problems
from gateway.web.requests import AnyRequest

NAME = "gateway"
BACKLOG = 2048
"""Connections the kernel keeps for us while we are busy."""
KEEP_ALIVE_SECS = 75
"""Longer than the 60 s of common load balancers, so that they and not we close idle connections."""
HEADER_SECS = 15
"""Longest silence inside a request's headers."""
BUFFER_BYTES = 256 * 1024
"""Bytes read ahead of a handler, per connection."""


def create_app(settings: Settings, open_runtime: OpenRuntime) -> App:
    """Return the app with all its routes; `open_runtime` is entered when a worker starts and left when it stops."""
    app: App = Sanic(
        NAME,
        config=to_config(settings),
        error_handler=Problems(SystemRandom()),
        request_class=AnyRequest,
        configure_logging=False,
    )
    lifetime = Lifetime(settings, open_runtime)
    app.register_listener(lifetime.open, "before_server_start")
    app.register_listener(lifetime.drain, "before_server_stop")
    app.register_listener(lifetime.close, "after_server_stop")
    _add_routes(app)
    return app


def to_config(settings: Settings) -> Config:
    """Return Sanic's configuration; its SANIC_* environment is not read, ours is the only one."""
    http = settings.http
    config = Config(env_prefix=None)
    config.update(
        ACCESS_LOG=http.access_log,
        AUTO_EXTEND=False,
        GRACEFUL_SHUTDOWN_TIMEOUT=http.grace_secs,
        KEEP_ALIVE_TIMEOUT=KEEP_ALIVE_SECS,
        MOTD=False,
        REQUEST_BUFFER_SIZE=BUFFER_BYTES,
        REQUEST_MAX_SIZE=http.max_body_bytes,
        REQUEST_TIMEOUT=HEADER_SECS,
        # A request may wait for its body and then for two COMMITs: its own, and the one it queues behind.
        RESPONSE_TIMEOUT=http.body_deadline_secs + 2 * settings.database.write_timeout_secs,
    )
    return config


def to_letters_replay(segment: str) -> str:
    """Return a path segment that is `dead-letters:replay`, likewise; ValueError for others."""
    if unquote(segment) != "dead-letters:replay":
        raise ValueError(segment)
    return segment


def to_letter_replay(segment: str) -> int:
    """Return the id in a path segment such as `7:replay`; ValueError for others (no such route)."""
    letter, _, call = unquote(segment).partition(":")
    if call != "replay":
        raise ValueError(segment)
    return to_letter(letter)


def to_letter(segment: str) -> int:
    """Return the id of a dead letter; ValueError for what cannot be one (no such route)."""
    letter = int(segment)
    if not 1 <= letter <= MAX_ID:
        raise ValueError(segment)
    return letter


def to_states_query(segment: str) -> str:
    """Return a path segment that is `states:query`, the colon encoded or not; ValueError for others (no such route)."""
    if unquote(segment) != "states:query":
        raise ValueError(segment)
    return segment


def _add_routes(app: App) -> None:
    # `ignore_body` hands a request over before its body is read: guards come first, and `bodies` reads under its caps.
    for path, label in (
        ("/v1/readings", "readings"),
        ("/v1/devices/<device:str>/readings", "device_readings"),
    ):
        app.add_route(ingest.post_readings, path, methods=["POST"], name=label, ignore_body=True, ctx_label=label)
    # Sanic would quote the colon of a literal path and then never find it, so the last segment is a pattern of its own.
    app.router.register_pattern("states_query", to_states_query, r"^states(:|%3[Aa])query$")
    app.add_route(
        latest.query_states, "/v1/<call:states_query>", methods=["POST"], ignore_body=True, ctx_label="states_query"
    )
    app.add_route(latest.get_state, "/v1/devices/<device:str>/state", methods=["GET"], ctx_label="device_state")
    _add_dead_letters(app)
    app.add_route(get_ledger, "/v1/ledger", methods=["GET"], ctx_label="ledger")
    for path, handler in (("/livez", ops.livez), ("/readyz", ops.readyz), ("/metrics", ops.get_metrics)):
        app.add_route(handler, path, methods=["GET", "HEAD"], ctx_label=path.strip("/"))


def _add_dead_letters(app: App) -> None:
    app.router.register_pattern("letters_replay", to_letters_replay, r"^dead-letters(:|%3[Aa])replay$")
    app.router.register_pattern("letter_replay", to_letter_replay, r"^[0-9]{1,19}(:|%3[Aa])replay$")
    app.router.register_pattern("letter", to_letter, r"^[0-9]{1,19}$")
    base = "/v1/dead-letters"
    app.add_route(deadletters.list_letters, base, methods=["GET"], ctx_label="dead_letters")
    app.add_route(deadletters.get_letter, f"{base}/<letter:letter>", methods=["GET"], ctx_label="dead_letter")
    for path, handler, label in (
        ("/v1/<call:letters_replay>", deadletters.replay_letters, "dead_letters_replay"),
        (f"{base}/<letter:letter_replay>", deadletters.replay_letter, "dead_letter_replay"),
    ):
        app.add_route(handler, path, methods=["POST"], ignore_body=True, ctx_label=label)
