"""`gateway device`: devices and tokens, changed or shown. Exit codes: 0 done, 1 failed, 2 wrong use."""

from datetime import timedelta
from operator import itemgetter
from typing import Annotated

from cyclopts import App, Parameter
from msgspec.structs import asdict

from gateway.app.cli.device_import import import_devices
from gateway.app.cli.output import print_answer, print_fields, print_json, print_note, print_page
from gateway.app.cli.registry_options import (
    DEFAULT_OVERLAP,
    Database,
    Days,
    Json,
    Limit,
    Overlap,
    show_credentials,
    show_issued,
    to_lifetime,
)
from gateway.app.cli.session import AdminSession, exit_on_error, run
from gateway.core.durations import parse_duration
from gateway.core.errors import BadRequest
from gateway.domain.credentials import Credential, Issued
from gateway.domain.devices import Age, DevicePatch, to_device_filter
from gateway.domain.principal import Role

FOREVER_SECS = 1e9

Tags = Annotated[tuple[str, ...], Parameter(help="key=value; may be given several times.", negative="")]

device_app = App(
    name="device",
    help="Devices and their tokens.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway device add press-1 --tag site=north

gateway device import devices.csv

gateway device list --prefix press- --tag site:north --stale 15m

gateway device update press-1 --tag floor=2 --untag site

gateway device rotate press-1 --overlap 3600

gateway device remove press-1 --readings""",
)
device_app.command(import_devices, name="import")


@device_app.command(name="add")
def add_device(name: str, /, *, tag: Tags = (), database: Database = None, json: Json = False) -> None:
    """Add a device and show its token, this once."""

    async def work(session: AdminSession) -> Issued:
        registrar, actor = session.registrar, session.actor
        await registrar.devices.add(name, tags=_to_tags(tag), actor=actor)
        return await registrar.credentials.issue(Role.DEVICE, device=name, actor=actor)

    show_issued(run(work, database=database), {"device": name}, json=json)


@device_app.command(name="rotate")
def rotate_device(
    name: str,
    /,
    *,
    overlap: Overlap = DEFAULT_OVERLAP,
    expires_days: Days = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Show a new token for a device, this once. The one in use stays valid for a while, older ones do not."""
    issued = run(
        lambda s: s.registrar.credentials.rotate(
            name, overlap=timedelta(seconds=overlap), lifetime=to_lifetime(expires_days), actor=s.actor
        ),
        database=database,
    )
    show_issued(issued, {"device": name}, json=json)


@device_app.command(name="list")
def list_devices(
    *,
    prefix: Annotated[str, Parameter(help="Only names that start like this.")] = "",
    tag: Annotated[
        tuple[str, ...], Parameter(help="Only with this tag: key:value, or key for any value.", negative="")
    ] = (),
    enabled: Annotated[
        bool | None, Parameter(negative="--disabled", help="Only enabled ones, or disabled ones.")
    ] = None,
    stale: Annotated[str | None, Parameter(help="Only those silent for longer: 90s, 15m, 2h or 1d.")] = None,
    offline: Annotated[
        bool | None,
        Parameter(negative="--online", help="Only those silent for devices.offline_after_secs, or the others."),
    ] = None,
    after: Annotated[str, Parameter(help="Start after this name: the last one of the page before.")] = "",
    limit: Limit = 100,
    database: Database = None,
    json: Json = False,
) -> None:
    """List devices by name, with the time of their newest reading."""
    wanted = exit_on_error(lambda: to_device_filter(prefix=prefix, tags=tag, enabled=enabled))
    age = Age(stale_secs=exit_on_error(lambda: _to_seconds(stale)), offline=offline)

    async def work(session: AdminSession) -> tuple[list[dict[str, object]], str | None]:
        listed = await session.listing.page(wanted, age, after=after, limit=limit)
        return [session.fields(seen) for seen in listed.devices], listed.last

    devices, last = run(work, database=database)
    columns = {name.replace("_", " "): itemgetter(name) for name in ("device", "enabled", "last_seen", "tags")}
    print_page(devices, columns, empty="no devices", json=json)
    if last is not None:
        print_note(f"There may be more: --after {last}")


@device_app.command(name="show")
def show_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Show a device, its live tokens and the metrics it has reported."""

    async def work(session: AdminSession) -> tuple[dict[str, object], list[Credential]]:
        device, metrics = await session.registrar.devices.show(name)
        fields = session.fields(await session.listing.one(device))
        credentials = await session.registrar.credentials.page(device=name)
        return {**fields, "metrics": [asdict(metric) for metric in metrics]}, credentials

    fields, credentials = run(work, database=database)
    if json:
        print_json({**fields, "credentials": credentials})
        return
    metrics = [f"{one['metric']} ({one['kind']})" for one in _rows(fields.pop("metrics"))]
    print_fields({**fields, "metrics": ", ".join(metrics)})
    show_credentials(credentials, empty="no live tokens", json=False)


@device_app.command(name="update")
def update_device(
    name: str,
    /,
    *,
    tag: Tags = (),
    untag: Annotated[tuple[str, ...], Parameter(help="Tags to remove, by key.", negative="")] = (),
    database: Database = None,
    json: Json = False,
) -> None:
    """Set and remove tags of a device; the others stay."""
    tags = exit_on_error(lambda: {**_to_tags(tag), **dict.fromkeys(untag)})
    _switch(name, DevicePatch(tags=tags), database=database, json=json)


@device_app.command(name="enable")
def enable_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Let a device write again."""
    _switch(name, DevicePatch(enabled=True), database=database, json=json)


@device_app.command(name="disable")
def disable_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Refuse a device's readings and its tokens, in every gateway within a second."""
    _switch(name, DevicePatch(enabled=False), database=database, json=json)


@device_app.command(name="remove")
def remove_device(
    name: str,
    /,
    *,
    readings: Annotated[bool, Parameter(negative="", help="Remove its readings too, for good.")] = False,
    database: Database = None,
) -> None:
    """Remove a device and its tokens, refused by every gateway within a second; with readings only if told so."""
    gone = run(
        lambda s: s.registrar.removal.remove(name, with_readings=readings, actor=s.actor, budget_secs=FOREVER_SECS),
        database=database,
    )
    print_fields({"removed": name})
    if not gone:
        print_note("What is left of it in the newest state a running gateway removes.")


def _switch(name: str, change: DevicePatch, *, database: str | None, json: bool) -> None:
    device = run(lambda s: s.registrar.devices.change(name, change, actor=s.actor), database=database)
    print_answer({"device": device.name, "enabled": device.enabled, "tags": device.tags}, json=json)


def _rows(value: object) -> list[dict[str, object]]:
    return value if isinstance(value, list) else []


def _to_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadRequest(f"tag {pair!r} must be key=value")
        tags[key] = value
    return tags


def _to_seconds(text: str | None) -> int | None:
    """`15m` → 900."""
    if text is None:
        return None
    duration = parse_duration(text)
    if duration is None:
        raise BadRequest(f"--stale {text[:60]!a} is no duration; give a number and s, m, h or d, such as 15m")
    return duration.secs
