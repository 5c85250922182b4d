"""`gateway key`: keys made, listed, revoked. Exit codes: 0 done, 1 failed, 2 wrong use."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from gateway.app.cli.output import print_fields, print_note
from gateway.app.cli.registry_options import Database, Days, Json, Limit, show_credentials, show_issued, to_lifetime
from gateway.app.cli.session import run
from gateway.domain.principal import Role

key_app = App(
    name="key",
    help="Keys that are not tied to one device.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway key add --role ingest --prefix press- --label "edge box 7"

gateway key add --role reader --expires-days 90

gateway key revoke 12""",
)


@key_app.command(name="add")
def add_key(
    *,
    role: Annotated[
        Literal["ingest", "reader", "admin"],
        Parameter(help="ingest: writes for devices; reader: reads all; admin: everything."),
    ],
    prefix: Annotated[str, Parameter(help="Ingest: only devices whose names start like this.")] = "",
    label: Annotated[str, Parameter(help="What it is for, to recognise it in the list.")] = "",
    expires_days: Days = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    issued = run(
        lambda s: s.registrar.credentials.issue(
            Role(role), prefix=prefix, label=label, lifetime=to_lifetime(expires_days), actor=s.actor
        ),
        database=database,
    )
    show_issued(issued, {"role": role}, json=json)


@key_app.command(name="list")
def list_keys(
    *,
    role: Annotated[Literal["device", "ingest", "reader", "admin"] | None, Parameter(help="Only this role.")] = None,
    device: Annotated[str | None, Parameter(help="Only this device's tokens.")] = None,
    dead: Annotated[bool, Parameter(name="--all", negative="", help="Revoked and expired ones too.")] = False,
    after: Annotated[int, Parameter(help="Start after this id: the last one of the page before.")] = 0,
    limit: Limit = 100,
    database: Database = None,
    json: Json = False,
) -> None:
    """List keys and device tokens by id; never the tokens themselves."""
    credentials = run(
        lambda s: s.registrar.credentials.page(
            device=device, role=None if role is None else Role(role), dead=dead, after=after, limit=limit
        ),
        database=database,
    )
    show_credentials(credentials, empty="no keys", json=json)
    if len(credentials) == limit:
        print_note(f"There may be more: --after {credentials[-1].id}")


@key_app.command(name="revoke")
def revoke_key(
    key: Annotated[int, Parameter(help="Its id in 'gateway key list'.")], /, *, database: Database = None
) -> None:
    """Make a key or a device token invalid for good, in every gateway within a second."""
    run(lambda s: s.registrar.credentials.revoke(key, actor=s.actor), database=database)
    print_fields({"revoked": key})
