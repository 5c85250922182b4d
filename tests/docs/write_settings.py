"""In: gateway.core.settings. Out: docs/settings.md. Run as `python -m tests.docs.write_settings`; a test compares."""

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.core.settings import Settings
from gateway.core.settings_file import CONFIG_ENV, SECRETS, SettingDoc, describe
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "settings.md"

UNITS = {
    "_secs": "s",
    "_ms": "ms",
    "_bytes": "bytes",
    "_hours": "h",
    ".days": "days",
    "_days": "days",
    "_rows": "messages",
    "_max": "messages",
    "_readings": "readings",
    "requests_per_sec": "requests/s",
    "readings_per_sec": "readings/s",
    "bytes_per_sec": "bytes/s",
    "_callers": "callers",
}
"""By the end of a setting's path."""
KIB, MIB, GIB = 2**10, 2**20, 2**30

INTRODUCTION = f"""\
# Settings

Made from `gateway/core/settings/` by `python -m tests.docs.write_settings`; a test keeps it up to date.
`gateway settings` prints the same with the values that are in force.

Every setting has a name in the environment and a place in a TOML file. The file is the one that `--config` names, or
that `{CONFIG_ENV}` names, or `./gateway.toml` if there is one; the environment wins over the file. A name that
does not exist, in the file or of a variable GATEWAY_…, stops the start and names the nearest, so that a typo is no
silent default. Let be are `{CONFIG_ENV}`, `GATEWAY_KEY` (for commands) and what Kubernetes sets for a service that is
called gateway.

```toml
[http]
host = "0.0.0.0"
workers = 2

[database]
url = "postgresql://gateway:secret@db.example.com/gateway"

[redis]
url = "redis://redis.example.com:6379/0"

[mqtt]
url = "mqtts://gateway:secret@broker.example.com"
client_id = "gateway-1"

[devices]
unknown = "refuse"
```

Secrets (the bootstrap admin key and the passwords in URLs) are better kept in the environment; no command and no log
repeats them. Limits count per worker.
`PROMETHEUS_MULTIPROC_DIR` may name a folder for the workers' metrics; else one is made and removed again.
"""

HEADER = """\
| setting | environment | default | unit | allowed | what it does |
| --- | --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Return docs/settings.md as it should be."""
    return INTRODUCTION + "".join(_branches())


def _branches() -> Iterator[str]:
    defs = msgspec.json.schema(Settings)["$defs"]
    rows = list(describe(Settings()))
    for branch in msgspec.structs.fields(Settings):
        schema = defs[branch.type.__name__]
        yield f"\n## {branch.name}\n\n{branch.type.__doc__}\n\n"
        yield HEADER
        for row in rows:
            name, _, leaf = row.path.partition(".")
            if name == branch.name:
                yield _row(row, schema["properties"][leaf])


def _row(row: SettingDoc, schema: dict[str, Any]) -> str:
    cells = (f"`{row.path}`", f"`{row.env}`", _default(row), _unit(row.path), _allowed(schema), _sentence(row))
    return f"| {' | '.join(cells)} |\n"


def _default(row: SettingDoc) -> str:
    value = row.default
    if value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if row.path.endswith("_bytes") and isinstance(value, int):
        return f"`{value}` ({_to_human(value)})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _to_human(size: int) -> str:
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def _unit(path: str) -> str:
    return next((unit for ending, unit in UNITS.items() if path.endswith(ending)), "")


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if schema["type"] == "boolean":
        return "`true`, `false`"
    words = []
    if "exclusiveMinimum" in schema:
        words.append(f"> {schema['exclusiveMinimum']:g}")
    if "minimum" in schema:
        words.append(f"≥ {schema['minimum']:g}")
    if "maximum" in schema:
        words.append(f"≤ {schema['maximum']:g}")
    return ", ".join(words) or "text"


def _sentence(row: SettingDoc) -> str:
    return f"{row.sentence} Secret." if row.path in SECRETS else row.sentence


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
