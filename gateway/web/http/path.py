"""Segments of a path in, checked names out; and how a caller's own text is shown. Knows no route; raises BadRequest."""

from urllib.parse import unquote

from gateway.core.errors import BadRequest
from gateway.domain.names import DEVICE_NAME, MAX_NAME, METRIC_NAME

SHOWN = 60
"""Characters of a caller's own text that are repeated back."""


def device_name(segment: str) -> str:
    """Return the device that a path segment names. Raises BadRequest."""
    name = decoded(segment)
    check_device(name)
    return name


def check_device(name: str) -> None:
    """Raise BadRequest unless it can name a device."""
    if DEVICE_NAME.fullmatch(name) is None:
        raise BadRequest(
            f"device name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : -",
            parameter="device",
        )


def check_metric(name: str) -> None:
    """Raise BadRequest unless it can name a metric."""
    if METRIC_NAME.fullmatch(name) is None:
        raise BadRequest(
            f"metric name {shown(name)} is not allowed; use 1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : / -",
            parameter="metric",
        )


def decoded(segment: str) -> str:
    """Decode a percent-encoded name, twice: of '.' and '..', which clients take out of a path, `%252E` is left.

    No name holds a percent sign, so this changes none.
    """
    return unquote(unquote(segment)) if "%" in segment else segment


def shown(text: str) -> str:
    """Quote a caller's text for a message, shortened, with what cannot be printed escaped."""
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "…")
