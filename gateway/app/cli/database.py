"""`gateway database`: which database server is the right one, when the gateway does not believe the one it is given."""

import asyncio
import sys

from cyclopts import App

from gateway.app.cli.session import exit_on_error
from gateway.app.cli.target import Config, command_settings

database_app = App(name="database", help="The database server.")


@database_app.command
def accept(*, config_file: Config = None) -> None:
    """Take the server of database.url for the right one, though a later timeline of it was seen.

    Only when you mean it: what the later one had stored is not there. Run it once while Redis is up, or on each host
    that has a spool; running gateways hear of it within a second.

    Examples:
        gateway database accept
    """
    from gateway.app.lineage import accept as run  # noqa: PLC0415 -- it brings the drivers

    settings = command_settings(config_file)
    server = exit_on_error(lambda: asyncio.run(run(settings)))
    sys.stdout.write(f"The server is accepted as it is: cluster {server.key}, timeline {server.timeline}.\n")
