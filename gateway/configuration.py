"""gateway.toml and GATEWAY_<BRANCH>__<NAME> in, `Settings` out. Unknown keys fail. Opens nothing."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta

from gateway.errors import SettingsError
from gateway.settings import Settings

ENV_PREFIX = "GATEWAY_"
CONFIG_ENV = "GATEWAY_CONFIG"
SECRETS = frozenset({"auth.admin_key"})


class Described(NamedTuple):
    """One setting, for people."""

    path: str
    env: str
    value: object
    default: object
    sentence: str


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file (the argument, $GATEWAY_CONFIG, or ./gateway.toml if there), then the environment over it.

    Raises SettingsError with the name of the setting, its value and what is allowed.
    """
    tree = _from_file(path, environ)
    for name, text in environ.items():
        branch, _, leaf = name.removeprefix(ENV_PREFIX).lower().partition("__")
        if name.startswith(ENV_PREFIX) and leaf:
            tree.setdefault(branch, {})[leaf] = text
    try:
        return msgspec.convert(tree, Settings, strict=False)
    except msgspec.ValidationError as exc:
        raise SettingsError(f"a setting is wrong: {exc}; 'gateway settings' lists them all") from exc


def describe(settings: Settings) -> Iterator[Described]:
    """Yield every setting with its sentence; secrets are masked."""
    for branch in msgspec.structs.fields(Settings):
        values = getattr(settings, branch.name)
        for field in msgspec.structs.fields(branch.type):
            path = f"{branch.name}.{field.name}"
            value = getattr(values, field.name)
            shown = "***" if path in SECRETS and value else value
            yield Described(path, to_env(path), shown, field.default, _sentence(field.type))


def to_env(path: str) -> str:
    """`http.port` → `GATEWAY_HTTP__PORT`."""
    return ENV_PREFIX + path.replace(".", "__").upper()


def _from_file(path: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    named = path or (Path(environ[CONFIG_ENV]) if environ.get(CONFIG_ENV) else None)
    source = named or Path("gateway.toml")
    if named is None and not source.exists():
        return {}
    try:
        return tomllib.loads(source.read_text("utf-8-sig"))
    except (OSError, ValueError) as exc:
        raise SettingsError(f"cannot read the settings file {str(source)!r}: {exc}") from exc


def _sentence(annotation: Any) -> str:
    for meta in reversed(getattr(annotation, "__metadata__", ())):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    return ""
