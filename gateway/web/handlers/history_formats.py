"""Rows and series in, JSON, NDJSON and CSV (RFC 4180) out, as bytes. Types stay what they are; asks nobody anything.

In CSV every text is quoted and nothing else is, so `"21.5"` is a text and `21.5` a number. Doubles are the shortest
text that reads back as the same one. What is beyond every double is `inf` in CSV and null in JSON, said beside.
For spreadsheets, and if asked for, a text of CSV that one of them would take for a formula begins with an apostrophe.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf, isfinite
from typing import Any, Literal

import numpy as np
import orjson

from gateway.domain.history import HistoryRow, Series
from gateway.domain.model import Kind, Value

Media = Literal["application/json", "application/x-ndjson", "text/csv"]
JSON: Media = "application/json"
NDJSON: Media = "application/x-ndjson"
CSV: Media = "text/csv"
ROWS_HEADER = b"device,ts,metric,value\r\n"
INT64 = range(-(2**63), 2**63)
SERIES_AT_ONCE = 200
"""Lines of a series encoded at once: half a millisecond."""


FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet may run (OWASP, CSV Injection)."""


def to_stamps(times: Sequence[int]) -> list[str]:
    """Write microseconds since 1970 as RFC 3339 in UTC, many at once."""
    return [f"{stamp}Z" for stamp in np.datetime_as_string(np.array(times, "M8[us]"), unit="us").tolist()]


def rows_json(rows: Sequence[HistoryRow], *, bigint: bool) -> list[dict[str, object]]:
    """Return rows as an answer holds them; what comes out can be posted in again."""
    stamps = to_stamps([row.time_us for row in rows])
    return [
        {"device": row.device, "ts": stamp, "values": _quoted(row.values) if bigint else row.values}
        for row, stamp in zip(rows, stamps, strict=True)
    ]


def rows_ndjson(rows: Sequence[HistoryRow], *, bigint: bool) -> bytes:
    """Return one line for each row."""
    return b"".join([orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows_json(rows, bigint=bigint)])


def rows_csv(rows: Sequence[HistoryRow], *, bigint: bool, excel: bool = False) -> bytes:
    """Return one line for each reading, without the header; `excel`: no cell is a formula."""
    stamps = to_stamps([row.time_us for row in rows])
    if excel:
        rows = [HistoryRow(guarded(row.device), row.time_us, _guarded(row.values)) for row in rows]
    return "".join(
        [
            f"{row.device},{stamp},{name},{_cell(value, bigint=bigint)}\r\n"
            for row, stamp in zip(rows, stamps, strict=True)
            for name, value in row.values.items()
        ]
    ).encode()


def series_json(series: Series, *, bigint: bool) -> dict[str, object]:
    """Return a series as columns; times are epoch milliseconds, with the microseconds as a fraction."""
    found: dict[str, object] = {**series.name._asdict(), "ts": list(map(_ms, series.times))}
    found |= {function: _column(series, function, bigint=bigint) for function in series.columns}
    beyond = [function for function, column in series.columns.items() if not all(map(_is_in_range, column))]
    return found | ({"truncated": True} if series.truncated else {}) | ({"out_of_range": beyond} if beyond else {})


def series_ndjson(series: Series, *, bigint: bool) -> Iterator[bytes]:
    """Yield a line for each time; its `ts` is RFC 3339."""
    columns = [_column(series, function, bigint=bigint) for function in series.columns]
    head = series.name._asdict()
    for start in range(0, len(series.times), SERIES_AT_ONCE):
        part = slice(start, start + SERIES_AT_ONCE)
        rows = zip(to_stamps(series.times[part]), *(column[part] for column in columns), strict=True)
        lines = [{**head, "ts": stamp, **_cells(series.columns, row)} for stamp, *row in rows]
        yield b"".join([orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines])


def series_header(columns: Sequence[str]) -> bytes:
    """Return the header of series in CSV."""
    return ",".join(("device", "metric", "kind", "ts", *columns)).encode() + b"\r\n"


def series_csv(series: Series, *, bigint: bool, excel: bool = False) -> Iterator[bytes]:
    """Yield a line for each time, without the header; null is an empty cell. `excel`: no cell is a formula."""
    device, metric = series.name.device, series.name.metric
    if excel:
        device, metric = guarded(device), guarded(metric)
        series = series._replace(columns={name: list(map(_guard, column)) for name, column in series.columns.items()})
    head = f"{device},{metric},{series.name.kind}"
    for start in range(0, len(series.times), SERIES_AT_ONCE):
        part = slice(start, start + SERIES_AT_ONCE)
        rows = zip(to_stamps(series.times[part]), *(column[part] for column in series.columns.values()), strict=True)
        lines = [f"{head},{stamp},{','.join(_cell(v, bigint=bigint) for v in row)}\r\n" for stamp, *row in rows]
        yield "".join(lines).encode()


def guarded(text: str) -> str:
    """Return a text as a spreadsheet shows and does not run it."""
    return f"'{text}" if text.startswith(FORMULA) else text


def _guarded(values: Mapping[str, Value]) -> dict[str, Value]:
    return {guarded(name): _guard(value) for name, value in values.items()}


def _guard(value: Any) -> Any:
    if isinstance(value, str):
        return guarded(value)
    return "'-inf" if value == -inf else value


def _column(series: Series, function: str, *, bigint: bool) -> list[object]:
    """Return the values as JSON can say them: sums of ints may be beyond what the encoder takes as a number."""
    column = series.columns[function]
    if series.name.kind is not Kind.INT or function == "count":
        return list(column)
    if bigint:
        return [str(value) if type(value) is int else value for value in column]
    return [orjson.Fragment(str(v)) if type(v) is int and v not in INT64 else v for v in column]


def _cells(names: Iterable[str], row: Sequence[object]) -> dict[str, object]:
    found = dict(zip(names, row, strict=True))
    beyond = [function for function, value in found.items() if not _is_in_range(value)]
    return found | {"out_of_range": beyond} if beyond else found


def _is_in_range(value: object) -> bool:
    return type(value) is not float or isfinite(value)


def _ms(time_us: int) -> int | float:
    """Return milliseconds; a double holds every microsecond of them until the year 2248."""
    return time_us / 1000 if time_us % 1000 else time_us // 1000


def _quoted(values: dict[str, Value]) -> dict[str, Value]:
    return {name: str(value) if type(value) is int else value for name, value in values.items()}


def _cell(value: Value | None, *, bigint: bool) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.replace('"', '""') + '"'
        case int():
            return f'"{value}"' if bigint else str(value)
        case _:
            return repr(value)
