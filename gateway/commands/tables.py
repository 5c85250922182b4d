"""In: what a command found. Out: lines for people (80 columns without a terminal) or JSON. No database."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their headings, long cells folded; the sentence `empty` if there are none."""
    from rich.console import Console  # noqa: PLC0415 -- not worth its 50 ms for JSON
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_to_text(cell)) for cell in row))  # Text: "[red]" in a label is just what it says
    Console(highlight=False).print(table if table.rows else empty)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line; long values folded."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        grid.add_row(name, Text(_to_text(value)))
    Console(highlight=False).print(grid)


def print_note(sentence: str) -> None:
    """Say something that is not part of the answer, on stderr."""
    sys.stderr.write(_printable(sentence) + "\n")


def _to_text(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items()) or "-"
    return _printable(str(value))


def _printable(text: str) -> str:
    """Return text that cannot steer the terminal, whatever a device or a client put into it."""
    return "".join([char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text])
