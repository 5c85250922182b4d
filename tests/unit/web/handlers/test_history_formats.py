"""CSV of history: it reads back as it was, and with `excel` no spreadsheet finds a formula in it."""

import csv
import io
from math import inf

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.errors import BadRequest
from gateway.domain.history import HistoryRow, Series, SeriesName
from gateway.domain.model import Kind, Value
from gateway.web.handlers.history_formats import CSV, FORMULA, rows_csv, series_csv
from gateway.web.handlers.history_query import DeviceHistoryQuery, to_history_query

DANGEROUS = ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", '="a","b"', "＝1"]
VALUES = st.one_of(
    st.text(), st.sampled_from(DANGEROUS), st.integers(-(2**63), 2**63 - 1), st.booleans(),
    st.floats(allow_nan=False), st.just(-inf),
)  # fmt: skip
NAMES = st.text("abc-._:", min_size=1, max_size=5)


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def is_number(cell: str) -> bool:
    try:
        return float(cell) != -inf
    except ValueError:
        return False


@given(NAMES, NAMES, VALUES)
@example("-2+3", "-1", "=1")
def test_no_cell_is_a_formula_unless_it_is_as_it_was(device: str, metric: str, value: Value) -> None:
    rows = [HistoryRow(device, 0, {metric: value})]
    series = Series(SeriesName(device, metric, Kind.TEXT), [0], {"value": [value]})
    for guarded in (rows_csv(rows, bigint=False, excel=True), b"".join(series_csv(series, bigint=False, excel=True))):
        [cells] = read(guarded)
        for cell in cells:
            assert not cell.startswith(FORMULA) or is_number(cell)
    [plain] = read(rows_csv(rows, bigint=False))
    assert (plain[0], plain[2]) == (device, metric)
    if isinstance(value, str):
        assert plain[3] == value
        assert read(rows_csv(rows, bigint=False, excel=True))[0][3].removeprefix("'") == value.removeprefix("'")


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_is_dangerous_is_shown_and_not_run(text: str) -> None:
    [cells] = read(rows_csv([HistoryRow("d1", 0, {"t": text})], bigint=False, excel=True))
    assert cells == ["d1", "1970-01-01T00:00:00.000000Z", "t", f"'{text}"]


def test_excel_goes_with_csv_alone() -> None:
    query = DeviceHistoryQuery(excel=True)
    assert to_history_query(query, ["d1"], [CSV], now_us=10**15).excel
    with pytest.raises(BadRequest) as caught:
        to_history_query(query, ["d1"], [], now_us=10**15)
    assert caught.value.details == {"parameter": "excel"}
