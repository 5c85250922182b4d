"""Output of commands: lines for people, folded on a terminal and whole in a pipe, or JSON. No database."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

_Item = TypeVar("_Item")
WIDEST = 100_000
"""Columns of a line that is not folded."""
NAME = 50
"""Columns that a name in the first column is given on a terminal at least, if it needs them."""


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their headings; the sentence `empty` if there are none."""
    from rich.table import Table  # noqa: PLC0415 -- not worth its 50 ms for JSON
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = [[_to_text(cell) for cell in row] for row in rows]
    longest = max((len(line[0]) for line in lines), default=0)
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", min_width=None if place else min(longest, NAME))
    for line in lines:
        table.add_row(*map(Text, line))  # Text: "[red]" in a label is just what it says
    _print(table if table.rows else empty)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one pair a line."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        grid.add_row(name, Text(_to_text(value)))
    _print(grid)


def print_answer(fields: Mapping[str, object], *, json: bool) -> None:
    """Print names and values, for people or as JSON."""
    (print_json if json else print_fields)(fields)


def print_page(
    items: Sequence[_Item], columns: Mapping[str, Callable[[_Item], object]], *, empty: str, json: bool
) -> None:
    """Print items as JSON, or as a table with what each column says of one; the sentence `empty` if there are none."""
    if json:
        print_json(items)
        return
    print_table(tuple(columns), [[say(item) for say in columns.values()] for item in items], empty=empty)


def print_note(sentence: str) -> None:
    """Say something that is not part of the answer, on stderr."""
    sys.stderr.write(_printable(sentence) + "\n")


def _print(what: object) -> None:
    """Fold long cells on a terminal; whoever reads a pipe looks for whole words."""
    from rich.console import Console  # noqa: PLC0415

    if _is_terminal():
        Console(highlight=False).print(what)
        return
    console = Console(highlight=False, width=WIDEST)
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _is_terminal() -> bool:
    return sys.stdout.isatty()


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
