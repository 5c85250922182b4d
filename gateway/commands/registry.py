"""In: `gateway device|key|metric …`. Out: the registry changed or shown. Exit codes: 0 done, 1 failed, 2 wrong use."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from gateway.commands.session import Registry, run
from gateway.commands.tables import print_fields, print_json, print_note, print_table
from gateway.errors import BadRequest
from gateway.grants import MAX_LIFETIME, OVERLAP, Credential, Issued
from gateway.model import Metric, Role

if TYPE_CHECKING:  # brings the database driver, which "--help" must not wait for
    from gateway.timescale.devices import Device

Database = Annotated[
    str | None,
    Parameter(name="--database", help="Database URL; default: database.url of the settings (GATEWAY_DATABASE__URL)."),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
Days = Annotated[
    int | None,
    Parameter(validator=Number(gte=1, lte=MAX_LIFETIME.days), help="Days until it expires; default: never."),
]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="Lines at most.")]

device_app = App(
    name="device",
    help="Devices and their tokens.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway device add press-1 --tag site=north

gateway device list --prefix press-

gateway device rotate press-1 --overlap 3600""",
)
key_app = App(
    name="key",
    help="Keys that are not tied to one device.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway key add --role ingest --prefix press- --label "edge box 7"

gateway key add --role reader --expires-days 90

gateway key revoke 12""",
)
metric_app = App(
    name="metric",
    help="Metrics whose integers are stored exactly.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway metric declare-int energy_wh

gateway metric list""",
)


@device_app.command(name="add")
def add_device(
    name: str,
    /,
    *,
    tag: Annotated[tuple[str, ...], Parameter(help="key=value; may be given several times.", negative="")] = (),
    database: Database = None,
    json: Json = False,
) -> None:
    """Add a device and show its token, this once."""

    async def work(registry: Registry) -> Issued:
        await registry.devices.add(name, tags=_to_tags(tag))
        return await registry.credentials.issue(Role.DEVICE, device=name)

    _show_issued(run(work, database=database), {"device": name}, json=json)


@device_app.command(name="rotate")
def rotate_device(
    name: str,
    /,
    *,
    overlap: Annotated[
        int,
        Parameter(
            validator=Number(gte=0, lte=MAX_LIFETIME.days * 86_400),
            help="Seconds for which the token in use stays valid beside the new one; 0 = revoke it now.",
        ),
    ] = OVERLAP // timedelta(seconds=1),
    database: Database = None,
    json: Json = False,
) -> None:
    """Show a new token for a device, this once. The one in use stays valid for a while, older ones do not."""

    async def work(registry: Registry) -> Issued:
        return await registry.credentials.rotate(name, overlap=timedelta(seconds=overlap))

    _show_issued(run(work, database=database), {"device": name}, json=json)


@device_app.command(name="list")
def list_devices(
    *,
    prefix: Annotated[str, Parameter(help="Only names that start like this.")] = "",
    after: Annotated[str | None, Parameter(help="Start after this name: the last one of the page before.")] = None,
    limit: Limit = 100,
    database: Database = None,
    json: Json = False,
) -> None:
    """List devices by name."""
    devices = run(lambda r: r.devices.page(prefix=prefix, after=after, limit=limit), database=database)
    if json:
        print_json(devices)
    else:
        rows = [(device.name, device.enabled, device.tags, device.created_at) for device in devices]
        print_table(("device", "enabled", "tags", "created"), rows, empty="no devices")
    if len(devices) == limit:
        print_note(f"There may be more: --after {devices[-1].name}")


@device_app.command(name="show")
def show_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Show a device, its live tokens and the metrics it has reported."""

    async def work(registry: Registry) -> tuple[dict[str, object], list[Metric], list[Credential]]:
        device, metrics = await registry.devices.show(name)
        credentials = await registry.credentials.page(device=name)
        shown = {"name": device.name, "enabled": device.enabled, "tags": device.tags, "created_at": device.created_at}
        return shown, metrics, credentials

    device, metrics, credentials = run(work, database=database)
    if json:
        print_json({**device, "metrics": [m._asdict() for m in metrics], "credentials": credentials})
        return
    reported = ", ".join(f"{metric.name} ({metric.kind})" for metric in metrics)
    print_fields({**device, "metrics": reported})
    _show_credentials(credentials, empty="no live tokens")


@device_app.command(name="enable")
def enable_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Let a device write again."""
    _show_switched(run(lambda r: r.devices.enable(name), database=database), json=json)


@device_app.command(name="disable")
def disable_device(name: str, /, *, database: Database = None, json: Json = False) -> None:
    """Refuse a device's readings and its tokens, in every gateway within a second."""
    _show_switched(run(lambda r: r.devices.disable(name), database=database), json=json)


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
    lifetime = None if expires_days is None else timedelta(days=expires_days)
    issued = run(
        lambda r: r.credentials.issue(Role(role), prefix=prefix, label=label, lifetime=lifetime), database=database
    )
    _show_issued(issued, {"role": role}, json=json)


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
        lambda r: r.credentials.page(
            device=device, role=None if role is None else Role(role), dead=dead, after=after, limit=limit
        ),
        database=database,
    )
    if json:
        print_json(credentials)
    else:
        _show_credentials(credentials, empty="no keys")
    if len(credentials) == limit:
        print_note(f"There may be more: --after {credentials[-1].id}")


@key_app.command(name="revoke")
def revoke_key(
    key: Annotated[int, Parameter(help="Its id in 'gateway key list'.")], /, *, database: Database = None
) -> None:
    """Make a key or a device token invalid for good, in every gateway within a second."""
    run(lambda r: r.credentials.revoke(key), database=database)
    print_fields({"revoked": key})


@metric_app.command(name="declare-int")
def declare_int(name: str, /, *, database: Database = None) -> None:
    """Store the integers of this metric exactly, as 64-bit integers; what is stored already stays as it is."""
    run(lambda r: r.declared_ints.declare(name), database=database)
    print_fields({"declared int": name})


@metric_app.command(name="undeclare-int")
def undeclare_int(name: str, /, *, database: Database = None) -> None:
    """Store the integers of this metric as doubles again; what is stored already stays as it is."""
    run(lambda r: r.declared_ints.undeclare(name), database=database)
    print_fields({"not declared any more": name})


@metric_app.command(name="list")
def list_declared(*, database: Database = None, json: Json = False) -> None:
    """List the metrics that are declared as int."""
    names = run(lambda r: r.declared_ints.names(), database=database)
    if json:
        print_json(names)
    else:
        print_table(("declared int",), [(name,) for name in names], empty="none")


def _to_tags(pairs: tuple[str, ...]) -> dict[str, str]:
    tags = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadRequest(f"tag {pair!r} must be key=value")
        tags[key] = value
    return tags


def _show_issued(issued: Issued, about: dict[str, object], *, json: bool) -> None:
    fields = {**about, "id": issued.id, "token": issued.token}
    if json:
        print_json(fields)
        return
    print_fields(fields)
    print_note("The token is shown this once. Send it as 'Authorization: Bearer <token>'.")


def _show_switched(device: "Device", *, json: bool) -> None:
    if json:
        print_json(device)
    else:
        print_fields({"device": device.name, "enabled": device.enabled})


def _show_credentials(credentials: list[Credential], *, empty: str) -> None:
    rows = [
        (one.id, one.role.value, one.device or one.prefix, one.label, one.created_at, _until(one))
        for one in credentials
    ]
    print_table(("id", "role", "device/prefix", "label", "created", "until"), rows, empty=empty)


def _until(credential: Credential) -> object:
    return "revoked" if credential.revoked_at is not None else credential.expires_at
