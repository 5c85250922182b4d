"""The words in which an operation is described beyond what the table says of it. Types only."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.core.errors import GatewayError


class Header(NamedTuple):
    """A header of an answer."""

    about: str
    type: type = str
    required: bool = False
    """Whether it always stands there."""


class Sent(NamedTuple):
    """A header of a request, or a parameter of a path."""

    name: str
    about: str
    type: object = str
    example: object = None


class RefusalDoc(NamedTuple):
    """One problem code with its status and what it says."""

    status: int
    code: str
    about: str


class Description(NamedTuple):
    """What is told of an operation."""

    summary: str
    tag: str
    answers: Mapping[int, str]
    """What each status means that is no problem; a 304 speaks for itself."""
    about: str = ""
    sent: tuple[Sent, ...] = ()
    """Headers that it reads, but for If-None-Match."""
    headers: Mapping[str, Header] = {}
    """Of its answers; of a 304 only ETag."""
    body: object = None
    """The type of its body, or media type → type, if that says more than what it is decoded to."""
    examples: Mapping[str, object] = {}
    """Of the body; that of a text has its media type as name."""
    errors: tuple[type[GatewayError], ...] = ()
    """What it may say no with, beyond what the table tells: credentials and their database, parameters, bodies."""


def refusals(kinds: tuple[type[GatewayError], ...]) -> tuple[RefusalDoc, ...]:
    """Return what these exceptions say when they are raised without words of their own."""
    return tuple([RefusalDoc(kind.status, kind.code, kind().message) for kind in kinds])
