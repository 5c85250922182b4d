"""Imports of devices: CSV and NDJSON."""

from gateway.core.errors import BadPayload, BadRequest, TooLarge
from gateway.domain.device_import import CSV, MAX_ROWS, NDJSON, parse
from gateway.domain.names import DEVICE_NAME
from tests.fuzz.target import target


def _check(data: bytes, media: str) -> None:
    try:
        rows = parse(data, media)
    except (BadPayload, BadRequest, TooLarge):
        return
    assert len(rows) <= MAX_ROWS
    for row in rows:
        assert row.line >= 1
        if row.problem is None:
            assert row.device is not None
            assert DEVICE_NAME.fullmatch(row.device)


@target(
    "csv",
    "imports of devices as CSV",
    [b'device,enabled,tag:site\nd1,true,north\n"d2",,\n', b"\xef\xbb\xbfdevice\r\nd1\r\n"],
)
def csv(data: bytes) -> None:
    """Rows with good names, rows with errors, or a clean no."""
    _check(data, CSV)


@target(
    "ndjson",
    "imports of devices as NDJSON",
    [b'{"device":"d1","enabled":true,"tags":{"site":"north","x":null}}\n\n{"device":"d2"}'],
)
def ndjson(data: bytes) -> None:
    """Rows with good names, rows with errors, or a clean no."""
    _check(data, NDJSON)
