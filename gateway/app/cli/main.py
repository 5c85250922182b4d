"""The `gateway` command. Exit codes: 0 done, 1 it did not work (stderr says why), 2 wrong usage, 130 interrupted."""

import asyncio
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, CycloptsError, CycloptsPanel, Parameter

from gateway.app.cli.api_client import DEFAULT_URL, KeyFile, Url
from gateway.app.cli.audit import audit_app
from gateway.app.cli.database import database_app
from gateway.app.cli.dead_letters import dead_letters_app
from gateway.app.cli.device import device_app
from gateway.app.cli.key import key_app
from gateway.app.cli.metric import metric_app
from gateway.app.cli.output import print_table
from gateway.app.cli.session import explain
from gateway.app.cli.spool import spool_app
from gateway.app.cli.state import state_app
from gateway.core import settings_file
from gateway.core.errors import GatewayError, SinkUnavailable, StartError
from gateway.core.masking import masked_within

Config = Annotated[
    Path | None,
    Parameter(name="--config", help="Settings file; default $GATEWAY_CONFIG, or ./gateway.toml if there."),
]


def _complaint(error: CycloptsError) -> object:
    """Return what is wrong with the options, without the passwords of URLs among them."""
    return CycloptsPanel(masked_within(str(error)))


app = App(
    name="gateway",
    error_formatter=_complaint,
    help="Takes in device readings over HTTP and MQTT, and answers when they are committed to TimescaleDB.",
    version=lambda: version("device-ingestion-gateway"),
)
for group in (device_app, key_app, metric_app, audit_app, dead_letters_app, state_app, database_app, spool_app):
    app.command(group)


@app.command
def up(
    *,
    demo: Annotated[bool, Parameter(help="Also run simulated devices.", negative="")] = False,
    devices: Annotated[int, Parameter(help="How many simulated devices.")] = 50,
    data: Annotated[Path, Parameter(help="Folder for data, logs and the admin key.")] = Path(".local"),
    config_file: Config = None,
) -> None:
    """Start everything here, without Docker: PostgreSQL, Valkey, an MQTT broker and the gateway. Ctrl-C stops it.

    For a first look and for development; production is `gateway serve` with a TimescaleDB of its own.

    Examples:
        gateway up --demo
        GATEWAY_HTTP__PORT=9000 gateway up
    """
    from gateway.app.cli.up import run_up  # noqa: PLC0415 - heavy imports inside the commands

    run_up(settings_file.load(config_file), data=data, demo_devices=devices if demo else 0)


@app.command
def serve(*, config_file: Config = None) -> None:
    """Serve with everything from settings: the way for production. SIGTERM drains and stops it.

    Examples:
        GATEWAY_DATABASE__URL=postgresql://... GATEWAY_REDIS__URL=redis://... gateway serve
        gateway serve --config /etc/gateway.toml
    """
    from gateway.app.cli.start import start  # noqa: PLC0415

    start(settings_file.load(config_file))


@app.command
def migrate(
    *,
    plan: Annotated[bool, Parameter(help="Only say what would be applied.", negative="")] = False,
    config_file: Config = None,
) -> None:
    """Bring the database's schema up to date. `gateway serve` does it too; safe to run many at once.

    Examples:
        gateway migrate --plan
        gateway migrate
    """
    from gateway.app.lineage import migrate_schema  # noqa: PLC0415
    from gateway.ingest.pipeline.breaker import reason  # noqa: PLC0415

    try:
        steps = asyncio.run(migrate_schema(settings_file.load(config_file), plan_only=plan))
    except SinkUnavailable as exc:
        raise SinkUnavailable(f"{exc.message} ({reason(exc)})") from exc
    for step in steps:
        took = "pending" if step.took_ms is None else f"applied in {step.took_ms} ms"
        print(f"{step.version:04} {step.name}: {took}")
    if not steps:
        print("The schema is up to date.")


@app.command
def settings(
    *,
    json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False,
    config_file: Config = None,
) -> None:
    """Print every setting with its value, default, and what it does. Secrets are masked."""
    described = list(settings_file.describe(settings_file.load(config_file)))
    if json:
        print(msgspec.json.encode([one._asdict() for one in described]).decode())
        return
    rows = [(one.env, f"{one.value}{'' if one.value == one.default else ' *'}", one.sentence) for one in described]
    print_table(("setting", "value", "what it does"), rows, empty="")
    print("* changed from its default. In gateway.toml, GATEWAY_HTTP__PORT is 'port' in the table [http].")


@app.command
def ledger(
    *,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False,
) -> None:
    """Show what became of every reading that a running gateway took in since it started, per source.

    received = stored + duplicates + conflicts + refused + dead_lettered + spooled + failed + queued + interrupted

    Examples:
        gateway ledger
        gateway ledger --url https://gateway.example.com --key-file admin.key --json
    """
    from gateway.app.cli.ledger import show  # noqa: PLC0415

    show(url, key_file=key_file, json=json)


@app.command
def doctor(*, config_file: Config = None) -> None:
    """Ask every server the gateway needs how it is, and say what to change. Exit code 1 if something is missing."""
    from gateway.app.cli.doctor import examine  # noqa: PLC0415
    from gateway.app.cli.target import command_settings  # noqa: PLC0415

    findings = asyncio.run(examine(command_settings(config_file)))
    for finding in findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.part:<10} {finding.sentence}")
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def main() -> None:
    """Run the command line."""
    try:
        app(sys.argv[1:])
    except GatewayError as exc:
        prefix = "cannot start" if isinstance(exc, StartError) else "failed"
        print(f"gateway: {prefix}: {explain(exc)}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # as in "gateway settings | head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
