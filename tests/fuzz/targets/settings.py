"""Settings: files of them, and the environment."""

import os
import tempfile
from functools import cache
from pathlib import Path

from gateway.core.errors import SettingsError
from gateway.core.settings import Settings
from gateway.core.settings_file import describe, load
from tests.fuzz.target import target

SECRET = "hunter2hunter2"


@cache
def _file() -> Path:
    number, name = tempfile.mkstemp(prefix="fuzz-", suffix=".toml")
    os.close(number)
    return Path(name)


@target(
    "settings",
    "settings files, and variables of the environment",
    [
        b'[http]\nport = 8080\n[limits]\nburst_secs = 2.5\n[auth]\nadmin_key = "hunter2hunter2"\n',
        b'[database]\nurl = "postgresql://u:hunter2hunter2@h:1,h2:2/db?x=y"\n[clock]\nahead = "clamp"\n',
        b"http = 1\n[http]\n",
    ],
)
def settings(data: bytes) -> None:
    """Settings, or SettingsError; and the key is not shown."""
    path = _file()
    path.write_bytes(data)
    words = data.decode("utf-8", "replace").replace("\0", "")
    for environ in ({}, {"GATEWAY_AUTH__ADMIN_KEY": SECRET, "GATEWAY_HTTP__PORT": words}):
        try:
            found = load(path, environ)
        except SettingsError:
            continue
        assert isinstance(found, Settings)
        assert SECRET not in "".join(str(each.value) for each in describe(found) if each.path == "auth.admin_key")
