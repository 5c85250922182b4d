"""Loader of settings: gateway.toml and GATEWAY_<BRANCH>__<NAME> → `Settings`. Unknown names fail. Opens nothing."""

import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta

from gateway.core.errors import SettingsError
from gateway.core.masking import MASK, masked
from gateway.core.settings import Settings

ENV_PREFIX = "GATEWAY_"
CONFIG_ENV = "GATEWAY_CONFIG"
OTHERS = (CONFIG_ENV, "GATEWAY_KEY")
"""Names in the environment that are no settings and are used all the same, by commands."""
TESTS = "GATEWAY_TEST_"
"""How names start that tests use."""
SECRETS = ("key", "password", "secret", "token")
"""How names of settings end that hold nothing but a secret."""
SHOWN = 60
"""Characters of a wrong value that are shown at most."""
_KINDS = {"integer": "a whole number", "number": "a number", "string": "text", "boolean": "true or false"}
_BOUNDS = (("minimum", "at least"), ("exclusiveMinimum", "above"), ("maximum", "at most"))


class SettingDoc(NamedTuple):
    """One setting, for people."""

    path: str
    env: str
    value: object
    default: object
    sentence: str


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file (the argument, $GATEWAY_CONFIG, or ./gateway.toml if there), then the environment over it.

    Raises SettingsError with the name of each wrong setting, its value (masked if it is secret) and what is allowed.
    """
    types, values, wrong = _types(), dict[str, Any](), list[str]()
    for name, value in _named(path, environ):
        if name in types:
            values[name] = value
        else:
            wrong.append(_stranger(name))
    given: dict[str, dict[str, Any]] = {branch.name: {} for branch in msgspec.structs.fields(Settings)}
    for name, value in values.items():
        branch, _, leaf = name.partition(".")
        try:
            given[branch][leaf] = _converted(value, types[name])
        except ValueError:  # msgspec's words are not ours, and may repeat a secret
            wrong.append(f"{name} ({to_env(name)}) is {_shown(name, value)}: it must be {_allowed(types[name])}")
    if wrong:
        raise SettingsError(f"{'; '.join(wrong)}; 'gateway settings' lists them all")
    return Settings(**{branch.name: branch.type(**given[branch.name]) for branch in msgspec.structs.fields(Settings)})


def describe(settings: Settings) -> Iterator[SettingDoc]:
    """Yield every setting with its sentence; secrets are masked."""
    for branch in msgspec.structs.fields(Settings):
        values = getattr(settings, branch.name)
        for field in msgspec.structs.fields(branch.type):
            path = f"{branch.name}.{field.name}"
            value = hidden(path, getattr(values, field.name))
            yield SettingDoc(path, to_env(path), value, field.default, _sentence(field.type))


def hidden(path: str, value: object) -> object:
    """Return what may be shown of a setting's value: no key, and no password of a URL."""
    if path.endswith(SECRETS):
        return MASK if value else value
    if isinstance(value, str):
        return masked(value)
    return MASK if path.endswith(".url") else value


def to_env(path: str) -> str:
    """`http.port` → `GATEWAY_HTTP__PORT`."""
    return ENV_PREFIX + path.replace(".", "__").upper()


def with_env(message: str) -> str:
    """Return a complaint that names settings by their paths with the names in the environment beside them."""
    for path in _types():
        if path in message and to_env(path) not in message:
            message = re.sub(rf"\b{re.escape(path)}\b", f"{path} ({to_env(path)})", message, count=1)
    return message


def _named(path: Path | None, environ: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    """Yield what the file says, then what the environment says; what is no setting by the name it was given."""
    for branch, leaves in _from_file(path, environ).items():
        if isinstance(leaves, dict):
            yield from ((f"{branch}.{leaf}", value) for leaf, value in leaves.items())
        else:
            yield branch, leaves
    known = {to_env(path): path for path in _types()}
    others = (
        TESTS,
        *(
            name.removesuffix("SERVICE_HOST") + ending
            for name in environ
            if name.endswith("_SERVICE_HOST")
            for ending in ("SERVICE_", "PORT")
        ),
    )
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and name not in OTHERS and not name.startswith(others):
            yield known.get(name.upper(), name), text


def _from_file(path: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    named = path or (Path(environ[CONFIG_ENV]) if environ.get(CONFIG_ENV) else None)
    source = named or Path("gateway.toml")
    if named is None and not source.exists():
        return {}
    try:
        return tomllib.loads(source.read_text("utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise SettingsError(f"cannot read the settings file {str(source)!r}: {exc}") from exc


def _types() -> dict[str, Any]:
    """Return the type of each setting, by its path."""
    return {
        f"{branch.name}.{field.name}": field.type
        for branch in msgspec.structs.fields(Settings)
        for field in msgspec.structs.fields(branch.type)
    }


def _stranger(name: str) -> str:
    """Say that this is no setting, and which was meant; never its value, which may be a secret."""
    paths = list(_types())
    from_env = name.startswith(ENV_PREFIX)
    found = get_close_matches(name, [*map(to_env, paths), *OTHERS] if from_env else paths, n=1)
    meant = f" (did you mean {found[0]}?)" if found else ""
    return f"{name} is no setting{meant}"


def _converted(value: object, annotation: Any) -> object:
    """Return the value as its type. Raises ValueError for one that is not allowed."""
    found: object = msgspec.convert(value, annotation, strict=False)
    if isinstance(found, float) and not math.isfinite(found):
        raise ValueError
    return found


def _shown(path: str, value: object) -> str:
    what = hidden(path, value)
    return MASK if what == MASK else repr(what)[:SHOWN]


def _allowed(annotation: Any) -> str:
    """Say in words what a setting may be."""
    schema = msgspec.json.schema(annotation)
    if "enum" in schema:
        return " or ".join(schema["enum"])
    bounds = [f"{words} {schema[bound]}" for bound, words in _BOUNDS if bound in schema]
    return ", ".join(filter(None, (_KINDS[schema["type"]], " and ".join(bounds))))


def _sentence(annotation: Any) -> str:
    for meta in reversed(getattr(annotation, "__metadata__", ())):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return ""
