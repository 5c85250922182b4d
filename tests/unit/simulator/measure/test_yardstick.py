"""The rows of the yardstick: new, sorted, and as wide as said."""

import struct

import pytest

from simulator.measure.bench.workloads import CONNECTIONS, ROWS, WORKLOADS, setups
from simulator.measure.bench.yardstick import CopyRows
from tests.unit.simulator.cases import START_MS

Row = tuple[int, int, int, tuple[float, ...]]


def parse(data: bytes) -> list[Row]:
    """Read a binary COPY stream field by field, as the manual says."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    rows, at = [], 19
    while data[at : at + 2] != b"\xff\xff":
        assert struct.unpack_from(">h", data, at) == (6,)
        at += 2
        fields = []
        for _ in range(6):
            (length,) = struct.unpack_from(">i", data, at)
            fields.append(data[at + 4 : at + 4 + max(length, 0)] if length >= 0 else None)
            at += 4 + max(length, 0)
        when, device, shape, values, ints, texts = fields
        assert ints is texts is None
        assert when is not None
        assert device is not None
        assert shape is not None
        rows.append((_int(device), _int(shape), _int(when), _array(values)))
    assert at + 2 == len(data)
    return rows


def _int(field: bytes) -> int:
    return int.from_bytes(field, "big", signed=True)


def _array(field: bytes | None) -> tuple[float, ...]:
    assert field is not None
    assert struct.unpack_from(">iii", field) == (1, 0, 701)
    size, lower = struct.unpack_from(">ii", field, 12)
    assert lower == 1
    items = [struct.unpack_from(">id", field, 20 + 12 * i) for i in range(size)]
    assert {length for length, _ in items} == {8}
    return tuple(value for _, value in items)


@pytest.mark.parametrize(("devices", "shapes", "rows"), [(10, 1, 50), (10, 3, 30), (10, 3, 10), (4, 2, 1)])
def test_rows_are_new_sorted_and_as_wide_as_said(devices: int, shapes: int, rows: int) -> None:
    stream = CopyRows(width=3, devices=devices, shapes=shapes, rows=rows, start_us=START_MS * 1_000)
    seen: set[tuple[int, int, int]] = set()
    commits = 3 * max(1, devices * shapes // rows)
    for _ in range(commits):
        found = parse(bytes(stream.next()))
        keys = [(device, shape, when) for device, shape, when, _ in found]
        assert len(keys) == rows
        assert keys == sorted(keys)
        assert {len(values) for *_, values in found} == {3}
        assert seen.isdisjoint(keys)
        seen.update(keys)
    assert {(device, shape) for device, shape, _ in seen} == {
        (device + 1, shape + 1) for device in range(devices) for shape in range(shapes)
    }
    start = START_MS * 1_000 - 946_684_800_000_000
    assert min(when for *_, when in seen) == start
    assert max(when for *_, when in seen) < start + 1_000 * commits * max(1, rows // (devices * shapes))


def test_rows_that_do_not_fit_the_series_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        CopyRows(width=1, devices=10, shapes=1, rows=15, start_us=0)


def test_there_is_a_yardstick_for_every_width_and_all_of_them_can_be_made() -> None:
    every = setups(tuple(WORKLOADS.values()))
    assert {setup.width for setup in every} == {w.form.width for w in WORKLOADS.values() if w.ingests}
    assert len(every) == len(set(every)) == 3 * len(ROWS) * len(CONNECTIONS)
    for setup in every:
        CopyRows(width=setup.width, devices=setup.devices, shapes=setup.shapes, rows=setup.rows, start_us=0).next()
    assert setups((WORKLOADS["W5"],)) == []
