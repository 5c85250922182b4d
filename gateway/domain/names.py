"""Names of devices and metrics: which there can be, and the one sentence that says so. Pure."""

import re

from gateway.core.errors import BadRequest

MAX_NAME = 128
"""Characters."""
DEVICE_NAME = re.compile(rf"[A-Za-z0-9._:\-]{{1,{MAX_NAME}}}")
_DEVICE_CHARACTERS = f"{MAX_NAME} characters of A-Z a-z 0-9 . _ : -"
DEVICE_NAME_RULE = f"1 to {_DEVICE_CHARACTERS}"
NAME_PREFIX = re.compile(rf"[A-Za-z0-9._:\-]{{0,{MAX_NAME}}}")
FOLDERS = frozenset({".", ".."})
"""Names that no new device gets: clients take them for folders of a path, and ask for another address."""
METRIC_NAME = re.compile(rf"[A-Za-z0-9._:/\-]{{1,{MAX_NAME}}}")
METRIC_NAME_RULE = f"1 to {MAX_NAME} characters of A-Z a-z 0-9 . _ : / -"


def check_device_name(name: str) -> None:
    """Raise BadRequest unless it can name a device."""
    if not DEVICE_NAME.fullmatch(name):
        raise BadRequest(f"device {name[:MAX_NAME]!r} must be {DEVICE_NAME_RULE}")


def check_new_device_name(name: str) -> None:
    """Raise BadRequest unless a new device can have this name."""
    check_device_name(name)
    if name in FOLDERS:
        raise BadRequest(
            f"device {name!r} cannot be made: in an address '.' and '..' stand for folders; choose another name"
        )


def check_metric_name(name: str) -> None:
    """Raise BadRequest unless it can name a metric."""
    if not METRIC_NAME.fullmatch(name):
        raise BadRequest(f"metric {name[:MAX_NAME]!a} must be {METRIC_NAME_RULE}", parameter="metric")


def check_prefix(prefix: str) -> None:
    """Raise BadRequest unless device names can start like this."""
    if not NAME_PREFIX.fullmatch(prefix):
        raise BadRequest(f"prefix {prefix[:MAX_NAME]!r} must be at most {_DEVICE_CHARACTERS}")
