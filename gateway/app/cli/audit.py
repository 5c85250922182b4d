"""`gateway audit`: who did what, newest first. Exit codes: 0 done, 1 failed, 2 wrong use."""

from datetime import datetime
from operator import attrgetter
from typing import Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from gateway.app.cli.output import print_note, print_page
from gateway.app.cli.registry_options import Database, Json, Limit
from gateway.app.cli.session import exit_on_error, run
from gateway.core.errors import BadRequest
from gateway.core.timestamps import parse_moment

audit_app = App(
    name="audit",
    help="Who changed devices, keys, metrics and dead letters.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway audit list

gateway audit list --since 2026-01-31T12:00:00Z --actor "cli root" """,
)


@audit_app.command(name="list")
def list_audit(
    *,
    since: Annotated[str | None, Parameter(help="Only acts since then: 2026-01-31T12:00:00Z.")] = None,
    actor: Annotated[str | None, Parameter(help="Only this actor, as the list names it.")] = None,
    before: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=2**63 - 1), help="Start before this id: the last one of the page before."
        ),
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    json: Json = False,
) -> None:
    """List acts, newest first."""
    moment = exit_on_error(lambda: None if since is None else _to_moment(since))
    entries = run(
        lambda s: s.registrar.audit.page(since=moment, actor=actor, before=before, limit=limit), database=database
    )
    columns = {name: attrgetter(name) for name in ("id", "at", "actor", "action", "target", "detail")}
    print_page(entries, columns, empty="nothing was done yet", json=json)
    if len(entries) == limit:
        print_note(f"There may be more: --before {entries[-1].id}")


def _to_moment(text: str) -> datetime:
    moment = parse_moment(text)
    if moment is None:
        raise BadRequest(f"--since {text[:60]!a} is no moment; give one such as 2026-01-31T12:00:00Z")
    return moment
