"""The values that stand in bodies, addresses and answers, as types whose JSON Schemas say what is allowed. No I/O.

The schemas are for readers. What is not allowed is refused where it is understood, in a sentence of its own: hence no
pattern here that a decoder would check first.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.domain.dead_letters import MAX_ID
from gateway.domain.names import DEVICE_NAME, MAX_NAME, METRIC_NAME

PAGE = 1000
"""Entries of a page, at most."""


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds these members and no other."""


PageLimit = Annotated[int, Meta(ge=1, le=PAGE, description="Entries of a page; 100 if left out.")]
DeviceName = Annotated[str, Meta(extra_json_schema={"pattern": f"^{DEVICE_NAME.pattern}$"}, examples=["d1"])]
MetricName = Annotated[str, Meta(extra_json_schema={"pattern": f"^{METRIC_NAME.pattern}$"}, examples=["temperature"])]
AnyName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
NamePrefix = Annotated[str, Meta(extra_json_schema={"pattern": f"^[A-Za-z0-9._:-]{{0,{MAX_NAME}}}$"})]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"}, examples=["2024-11-22T12:03:20.123000Z"])]
"""RFC 3339 in UTC, with microseconds."""
SpokenMoment = Annotated[str, Meta(extra_json_schema={"minLength": 1}, examples=["-24h"])]
"""What `to_moment` reads."""
MOMENTS = "RFC 3339 with a zone, a Unix time as in readings, `now`, or a duration before now such as `-15m`."
Id = Annotated[int, Meta(ge=1, le=MAX_ID, examples=[17])]
Count = Annotated[int, Meta(ge=0)]
Value = Annotated[bool | int | float | str, Meta(description="A number, a bool or text.", examples=[21.5])]
KindName = Annotated[
    Literal["double", "bool", "int", "text"], Meta(description="What the metric's values are; of several the newest.")
]
Tag = Annotated[str, Meta(extra_json_schema={"maxLength": 400}, examples=["site:north"])]
Duration = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9]{1,10}[smhd]$"}, examples=["15m"])]
Cursor = Annotated[
    str | None, Meta(description="The `next_cursor` of the page before; all other parameters must stay the same.")
]
NextCursor = Annotated[str | None, Meta(description="For the page after this one; null at the end.")]
Source = Annotated[
    str,
    Meta(
        description="`db` where Redis could not tell; the values are the same.",
        extra_json_schema={"enum": ["redis", "db"]},
    ),
]
