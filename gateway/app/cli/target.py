"""Target of a command: the gateway of the settings, or the one that `gateway up` runs in this folder."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.core.settings import Settings
from gateway.core.settings_file import load

Config = Annotated[Path | None, Parameter(name="--config", help="Settings file; default as for 'gateway serve'.")]
STACK_ENV = Path(".local/stack.env")
"""Written by a running `gateway up`: the addresses of its servers."""


def command_settings(config_file: Path | None = None) -> Settings:
    """Load the settings; where the environment names no database, a `gateway up` running here lends its addresses."""
    lent: dict[str, str] = {}
    if config_file is None and "GATEWAY_DATABASE__URL" not in os.environ and STACK_ENV.is_file():
        lines = STACK_ENV.read_text().splitlines()
        lent = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        lent["GATEWAY_SPOOL__DIR"] = str(STACK_ENV.parent / "spool")
    return load(config_file, lent | dict(os.environ))
