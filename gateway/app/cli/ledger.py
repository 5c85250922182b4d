"""`gateway ledger`: what became of every reading a running gateway took in, per source, as a table or as JSON."""

from pathlib import Path

import msgspec

from gateway.app.cli.api_client import ask
from gateway.app.cli.output import print_json, print_note, print_table
from gateway.domain.ledger import Account, Ledger

PATH = "/v1/ledger"


def show(url: str, *, key_file: Path | None, json: bool) -> None:
    """Print the books. Raises GatewayError when they cannot be had."""
    body = ask(url, PATH, key_file=key_file)
    if json:
        print_json(msgspec.Raw(body))
        return
    books = msgspec.json.decode(body, type=Ledger)
    columns = {**books.sources, "total": books.total}
    fields = Account.__struct_fields__
    rows = [(field, *[f"{getattr(account, field):,}" for account in columns.values()]) for field in fields]
    print_table(("readings", *columns), rows, empty="")
    left = msgspec.structs.asdict(books.from_spool)
    if any(left.values()):
        print_note("From the spool: " + ", ".join(f"{n:,} {field}" for field, n in left.items()) + ".")
