"""`gateway device import`: devices created and updated, and what was wrong with which line."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.app.cli.output import print_fields, print_json, print_note
from gateway.app.cli.registry_options import Database, Json
from gateway.app.cli.session import FAILED, AdminSession, exit_on_error, run
from gateway.app.cli.wording import in_options
from gateway.core.errors import BadRequest
from gateway.domain.device_import import CSV, NDJSON, ImportResult, ImportRow, parse, tally

MEDIA = {"csv": CSV, "ndjson": NDJSON}
SHOWN = 100
"""Refused rows that are listed."""


def import_devices(
    file: Annotated[Path, Parameter(help="CSV or NDJSON; - reads standard input.")],
    /,
    *,
    form: Annotated[
        Literal["csv", "ndjson"] | None, Parameter(name="--format", help="Default: by the file's name.")
    ] = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Create and update devices from a file of up to 10,000 rows. Exit code 1 if rows were refused.

    CSV has a header of device, enabled and tag:KEY, such as device,tag:site. NDJSON has one object a line:
    {"device": "press-1", "tags": {"site": "north"}}. Tags that a row does not name stay.
    """
    rows = exit_on_error(lambda: _read(file, form))

    async def work(session: AdminSession) -> list[ImportResult]:
        return await session.registrar.imports.apply(rows, actor=session.actor)

    results = run(work, database=database)
    counts = tally(results)
    refused = [one for one in results if one.status == "refused"]
    if json:
        print_json({**counts, "results": results})
    else:
        print_fields(counts)
        for one in refused[:SHOWN]:
            print_note(in_options(f"line {one.line}: {one.code}: {one.message}"))
    if refused:
        raise SystemExit(FAILED)


def _read(file: Path, form: str | None) -> list[ImportRow]:
    kind = form or {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}.get(file.suffix.lower())
    if kind is None:
        raise BadRequest(f"{str(file)!r} does not say what it is; give --format csv or --format ndjson")
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as exc:
        raise BadRequest(f"cannot read {str(file)!r}: {exc.strerror}") from exc
    return parse(body, MEDIA[kind])
