"""The values that stand in bodies and addresses, as types whose JSON Schemas say what is allowed. No I/O."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from gateway.domain.dead_letters import MAX_ID
from gateway.domain.devices import MAX_TAG_KEY, MAX_TAG_VALUE
from gateway.domain.layouts import DEVICE_NAME, METRIC_NAME
from gateway.domain.model import MAX_NAME
from gateway.web.openapi.words import Header, Parameter, ResponseDoc

DeviceName = Annotated[str, Meta(pattern=f"^{DEVICE_NAME.pattern}$", examples=["d1"])]
MetricName = Annotated[str, Meta(pattern=f"^{METRIC_NAME.pattern}$", examples=["temperature"])]
AnyName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
NamePrefix = Annotated[str, Meta(pattern=f"^[A-Za-z0-9._:-]{{0,{MAX_NAME}}}$")]
Moment = Annotated[datetime, Meta(tz=True, examples=["2024-11-22T12:03:20.123000Z"])]
Id = Annotated[int, Meta(ge=1, le=MAX_ID, examples=[17])]
Count = Annotated[int, Meta(ge=0)]
Flag = Literal["true", "false"]
Value = Annotated[bool | float | str, Meta(description="A number, a bool or text.", examples=[21.5])]
Kind = Annotated[
    Literal["double", "bool", "int", "text"], Meta(description="What the metric's values are; of several the newest.")
]

Tag = Annotated[str, Meta(max_length=400, examples=["site:north"])]
TagKey = Annotated[str, Meta(pattern=f"^[A-Za-z0-9._/-]{{1,{MAX_TAG_KEY}}}$")]
TagValue = Annotated[str, Meta(max_length=MAX_TAG_VALUE, description="Printable characters.")]
Duration = Annotated[str, Meta(pattern="^[0-9]{1,10}[smhd]$", examples=["15m"])]

PATH = {
    "device": Parameter("device", DeviceName, "The device's name.", "path", required=True, example="d1"),
    "letter": Parameter("letter", Id, "The dead letter's id.", "path", required=True, example=17),
    "key": Parameter("key", Id, "The key's id.", "path", required=True, example=12),
    "metric": Parameter(
        "metric", MetricName, "The metric's name; a `/` may be percent-encoded.", "path", required=True, example="t"
    ),
    "file": Parameter("file", str, "The file's name.", "path", required=True, example="start.js"),
}
"""The parameters of paths, by name."""

CURSOR = Parameter("cursor", str, "The `next_cursor` of the page before; all other parameters must stay the same.")
NextCursor = Annotated[str | None, Meta(description="For the page after this one; null at the end.")]
NO_STORE = {"Cache-Control": Header("`no-store`: every answer is another one.")}
"""Headers of what must not be kept by anybody."""
IF_NONE_MATCH = Parameter("If-None-Match", str, "The ETag of the answer before.", "header")
ETAG = Header("Of the content; for `If-None-Match`.", required=True)
UNCHANGED = ResponseDoc(304, "Nothing changed since the ETag in `If-None-Match`.", headers={"ETag": ETAG})


def moment(name: str, about: str) -> Parameter:
    """Return a parameter that is a moment."""
    shown = f"{about} RFC 3339 with a zone, a Unix time as in readings, `now`, or a duration before now such as `-15m`."
    return Parameter(name, Annotated[str, Meta(min_length=1)], shown, example="-24h")


def limit(most: int, *, default: int) -> Parameter:
    """Return the parameter for the size of a page."""
    return Parameter("limit", Annotated[int, Meta(ge=1, le=most)], f"Entries of a page; {default} if left out.")
