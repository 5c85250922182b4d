"""`gateway metric`: kinds and units of metrics, shown or set. Exit codes: 0 done, 1 failed, 2 wrong use."""

from operator import attrgetter
from typing import Annotated

from cyclopts import App, Parameter

from gateway.app.cli.output import print_fields, print_note, print_page
from gateway.app.cli.registry_options import Database, Json, Limit
from gateway.app.cli.session import exit_on_error, run
from gateway.core.errors import BadRequest

COLUMNS = {
    "metric": attrgetter("metric"),
    "kind": attrgetter("kind"),
    "unit": attrgetter("unit"),
    "exact": attrgetter("declared_int"),
}
metric_app = App(
    name="metric",
    help="Kinds and units of metrics, and those whose integers are stored exactly.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway metric set temperature --unit °C

gateway metric set energy_wh --unit Wh --declare-int

gateway metric declare-int energy_wh

gateway metric list --prefix energy""",
)


@metric_app.command(name="set")
def set_metric(
    name: str,
    /,
    *,
    unit: Annotated[str | None, Parameter(help='Its unit, in all its kinds; "" takes it away.')] = None,
    declare_int: Annotated[
        bool | None, Parameter(negative="--undeclare-int", help="Whether its integers are stored exactly.")
    ] = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Set what is known of a metric, also before it is first reported; what is left out stays as it is."""
    exit_on_error(lambda: _check_said(unit, declare_int))
    kinds = run(
        lambda s: s.registrar.metrics.put(
            name, unit=unit or None, clear_unit=unit == "", declared_int=declare_int, actor=s.actor
        ),
        database=database,
    )
    print_page(kinds, COLUMNS, empty="none", json=json)


@metric_app.command(name="declare-int")
def declare_int(name: str, /, *, database: Database = None) -> None:
    """Store the integers of this metric exactly, as 64-bit integers; what is stored already stays as it is."""
    run(lambda s: s.registrar.declared_ints.declare(name, actor=s.actor), database=database)
    print_fields({"declared int": name})


@metric_app.command(name="undeclare-int")
def undeclare_int(name: str, /, *, database: Database = None) -> None:
    """Store the integers of this metric as doubles again; what is stored already stays as it is."""
    run(lambda s: s.registrar.declared_ints.undeclare(name, actor=s.actor), database=database)
    print_fields({"not declared any more": name})


@metric_app.command(name="list")
def list_metrics(
    *,
    prefix: Annotated[str, Parameter(help="Only names that start like this.")] = "",
    after: Annotated[
        str | None, Parameter(help="Start after this name and kind: those of the last line of the page before.")
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    json: Json = False,
) -> None:
    """List metrics by name and kind."""
    name, _, kind = (after or "").rpartition(" ")
    metrics = run(lambda s: s.registrar.metrics.page(prefix=prefix, after=(name, kind), limit=limit), database=database)
    print_page(metrics, COLUMNS, empty="none", json=json)
    if len(metrics) == limit:
        print_note(f'There may be more: --after "{metrics[-1].metric} {metrics[-1].kind}"')


def _check_said(unit: str | None, declared: bool | None) -> None:  # noqa: FBT001
    if unit is None and declared is None:
        raise BadRequest("say what to set: --unit, --declare-int or --undeclare-int")
