"""The faults by name, and what each of them is about. Pure data."""

from enum import Enum


class Fault(Enum):
    """A fault; the values are the names of the rates in a scenario."""

    NONE = "none"
    LATE = "late"
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    CLOCK_SKEW = "clock_skew"
    NAN = "nan"
    TYPE_FLIP = "type_flip"
    NUL = "nul"
    OVERSIZE = "oversize"
    UNKNOWN_DEVICE = "unknown_device"
    BAD_TOKEN = "bad_token"  # noqa: S105 - a name
    MALFORMED_JSON = "malformed_json"
    TRUNCATED_GZIP = "truncated_gzip"
    SLOW_SOCKET = "slow_socket"
    DISCONNECT = "disconnect"
    CHURN = "churn"
    STORM = "storm"


ORDER = (Fault.LATE, Fault.OUT_OF_ORDER)
"""They change when a post is sent, and nothing in it."""
CONTENT = tuple(fault for fault in Fault if fault not in {Fault.NONE, *ORDER})
"""At most one of them befalls a post."""
HTTP_ONLY = frozenset(
    {
        Fault.CONFLICT,
        Fault.OVERSIZE,
        Fault.BAD_TOKEN,
        Fault.TRUNCATED_GZIP,
        Fault.SLOW_SOCKET,
        Fault.DISCONNECT,
    }
)
"""Over MQTT there is no such thing, or no telling when the gateway has the first of two messages."""
AGAIN = frozenset({Fault.DUPLICATE, Fault.CONFLICT})
"""The post goes out as it should, and once more when it is answered."""
HANG_UPS = frozenset({Fault.CHURN, Fault.STORM})
"""Connections are closed before the post; everything must be stored all the same."""
