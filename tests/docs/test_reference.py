"""The reference pages against the code: nothing missing, nothing made up."""

import importlib
import pkgutil
import re
from collections.abc import Iterator

import prometheus_client
import pytest
from sanic import Sanic

import gateway
from gateway.app.cli.api_client import KEY_ENV
from gateway.core.errors import GatewayError
from gateway.core.settings import Settings
from gateway.core.settings_file import CONFIG_ENV, ENV_PREFIX, describe
from gateway.domain.reasons import Reason
from gateway.mqtt.handler import BAD_TOPIC
from gateway.telemetry.exposition import RENAMED
from gateway.web.app import create_app
from gateway.web.http.problems import SANIC_CODES
from gateway.web.server.sanic import App
from tests.docs import write_settings
from tests.docs.pages import ROOT, text_of, words

PLACES = {"{device}": "d1", "{id}": "7", "{file}": "main.js", "{metric}": "t"}
_PATH = re.compile(
    r"(?:(GET|POST|PUT|PATCH|DELETE) )?"
    r"(/(?:v1/[\w/{}:-]+|static/\{file\}|docs(?:/\{file\})?|openapi\.json|livez|readyz|metrics)?)"
    r"(?:\?[\w=,&]+)?"
)
_CODE = re.compile(r"^\| `([a-z_]+)` \|", re.MULTILINE)
_METRIC = re.compile(r"^\| `(gateway_\w+)` \| ([^|]*)\|", re.MULTILINE)


def filled_in(path: str) -> str:
    """A documented path as somebody would call it."""
    for place, example in PLACES.items():
        path = path.replace(place, example)
    return path


def codes_below(heading: str) -> list[str]:
    """The first column of the table below a heading of errors.md."""
    section = text_of("docs/errors.md").split(f"\n## {heading}")[1].split("\n## ")[0]
    return _CODE.findall(section)


def error_codes() -> set[str]:
    """The codes of every exception of the gateway, wherever it is defined."""
    for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {kind.code for kind in _subclasses(GatewayError)}


def _subclasses(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _subclasses(child)


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    def never(*_: object) -> None:
        raise AssertionError("no part is opened here")

    app = create_app(Settings(), never)  # type: ignore[arg-type]
    app.router.finalize()
    yield app
    Sanic.unregister_app(app)


def documented_paths() -> set[tuple[str | None, str]]:
    found = {match.groups() for _, word in words() if (match := _PATH.fullmatch(word))}
    return {(method, path) for method, path in found}


def test_every_setting_is_on_its_page_as_the_code_has_it() -> None:
    assert write_settings.PAGE.read_text(encoding="utf-8") == write_settings.page(), (
        "run: python -m tests.docs.write_settings"
    )


def test_every_setting_named_anywhere_exists() -> None:
    rows = list(describe(Settings()))
    paths, envs = {row.path for row in rows}, {row.env for row in rows} | {CONFIG_ENV, KEY_ENV}
    branches = {path.partition(".")[0] for path in paths}
    for page, word in words():
        name = word.partition("=")[0]
        if name.startswith(ENV_PREFIX):
            assert name in envs, f"{page}: {word}"
        branch, dot, leaf = word.partition(".")
        if dot and branch in branches and leaf.isidentifier() and not (ROOT / "gateway" / word).exists():
            assert word in paths or leaf in {"md", "py"}, f"{page}: {word}"


def test_every_reason_is_explained_and_none_is_made_up() -> None:
    assert sorted(codes_below("Reasons")) == sorted(reason.value for reason in Reason)


def test_every_error_is_explained_and_none_is_made_up() -> None:
    over_http, at_start = codes_below("Problems"), codes_below("What stops")
    assert len(set(over_http)) == len(over_http)
    from_sanic = {*SANIC_CODES.values(), "headers_too_large"}
    assert set(over_http) | set(at_start) == error_codes() | from_sanic


def test_the_statuses_of_errors_are_right() -> None:
    error_codes()
    page = text_of("docs/errors.md")
    statuses = {code: status for status, code in SANIC_CODES.items()}
    statuses |= {kind.code: kind.status for kind in _subclasses(GatewayError)} | {"headers_too_large": 431}
    documented = re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", page, re.MULTILINE)
    assert documented
    assert [(code, int(status)) for code, status in documented] == [(code, statuses[code]) for code, _ in documented]


def test_the_codes_of_dead_letters_are_explained() -> None:
    assert codes_below("Dead letters") == [BAD_TOPIC]


def declared_metrics() -> list[prometheus_client.metrics.MetricWrapperBase]:
    """Every metric of ours, wherever it is declared."""
    error_codes()
    found = {id(one): one for one in prometheus_client.REGISTRY._names_to_collectors.values()}
    ours = [one for one in found.values() if isinstance(one, prometheus_client.metrics.MetricWrapperBase)]
    return [one for one in ours if one._name.startswith("gateway_")]


def test_every_metric_is_explained_with_its_labels() -> None:
    declared = {}
    for collector in declared_metrics():
        counts = isinstance(collector, prometheus_client.Counter)
        declared[f"{collector._name}{'_total' if counts else ''}"] = ", ".join(
            f"`{label}`" for label in collector._labelnames
        )
    documented = {name: labels.strip() for name, labels in _METRIC.findall(text_of("docs/operations.md"))}
    assert documented == declared


def test_every_metric_named_anywhere_exists() -> None:
    documented = {name for name, _ in _METRIC.findall(text_of("docs/operations.md"))}
    renamed = {f"{name}{end}" for name in RENAMED.values() for end in ("", "_total")}
    for page, word in words():
        if re.fullmatch(r"gateway_[a-z_0-9]+", word):
            assert word in documented | renamed, f"{page}: {word}"


def test_every_path_named_anywhere_is_a_route(app: App) -> None:
    for method, path in documented_paths():
        filled = filled_in(path)
        tried = [method] if method else ["GET", "POST", "PUT"]
        assert any(_is_routed(app, filled, one) for one in tried), f"{method or ''} {path}"


def test_every_route_is_in_the_api(app: App) -> None:
    api = {
        (match[1], match[2])
        for match in map(_PATH.fullmatch, re.findall(r"`([^`]+)`", text_of("docs/http-api.md")))
        if match
    }
    labels = {app.router.get(filled_in(path), method, None)[0].ctx.label for method, path in api if method}
    assert labels == {route.ctx.label for route in app.router.routes}


def _is_routed(app: App, path: str, method: str) -> bool:
    try:
        app.router.get(path, method, None)
    except Exception:  # noqa: BLE001 - Sanic's own, for a missing path and for a wrong method
        return False
    return True
