"""The words in which an operation is described: parameters, bodies, answers, refusals. Types only; no I/O, no route.

A type is anything `msgspec.json.schema_components` takes; `AnyOf` stands for several Structs without a tag.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from gateway.core.errors import GatewayError
from gateway.domain.model import Role

JSON, PROBLEM = "application/json", "application/problem+json"
TEXT, HTML, CSV = "text/plain", "text/html", "text/csv"
NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"

Type = object
"""A type whose JSON Schema is wanted."""


class AnyOf(NamedTuple):
    """One of some types, or, with `many`, also an array of them."""

    kinds: tuple[Type, ...]
    many: bool = False


class Parameter(NamedTuple):
    """A value that stands in the address or in a header."""

    name: str
    type: Type
    about: str
    place: Literal["query", "path", "header"] = "query"
    required: bool = False
    example: object = None


class Header(NamedTuple):
    """A header of an answer."""

    about: str
    type: Type = str
    required: bool = False
    """Whether it always stands there."""


class Body(NamedTuple):
    """What is sent: media type → type, and examples by name; the example of a text has its media type as name."""

    content: Mapping[str, Type]
    examples: Mapping[str, object]
    required: bool = True


class ResponseDoc(NamedTuple):
    """One status that is no problem."""

    status: int
    about: str
    content: Mapping[str, Type] = MappingProxyType({})
    """Media type → type; empty if there is no body."""
    headers: Mapping[str, Header] = MappingProxyType({})


class RefusalDoc(NamedTuple):
    """One problem code with its status and what it says."""

    status: int
    code: str
    about: str


class Operation(NamedTuple):
    """One method of one path."""

    summary: str
    tag: str
    answers: tuple[ResponseDoc, ...]
    about: str = ""
    who: tuple[Role, ...] = ()
    """Roles that may call it; empty: everybody, without a credential."""
    parameters: tuple[Parameter, ...] = ()
    """Those of the path are known by their names, and stand here only if there is something else to say of them."""
    body: Body | None = None
    refusals: tuple[RefusalDoc, ...] = ()
    """Beyond those that any request may meet."""


def refusals(*kinds: type[GatewayError]) -> tuple[RefusalDoc, ...]:
    """Return what these exceptions say when they are raised without words of their own."""
    return tuple([RefusalDoc(kind.status, kind.code, kind().message) for kind in kinds])
