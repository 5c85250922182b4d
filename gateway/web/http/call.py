"""A request as handlers see it: what its operation makes of the address, the headers and the body. No server in it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import msgspec

from gateway.domain.principal import Principal, Role
from gateway.web.context import Context
from gateway.web.http.fields import Strict
from gateway.web.http.permissions import Access
from gateway.web.http.responses import JSON, Answer, Stream
from gateway.web.limits.body_budget import Incoming
from gateway.web.limits.rate_limits import Visit

Query = TypeVar("Query")
Content = TypeVar("Content")
LISTS, JOBS = "lists", "jobs"
"""Calls that cost more than others, and of which a credential has a share: reads, and what changes many things."""
NOBODY = Principal(Role.DEVICE)
"""Who calls what everybody may call."""


class Headers(Protocol):
    """The fields of a request; their names are in lower case."""

    def getone(self, key: str, default: str | None, /) -> str | None:
        """Return the first value of a field."""
        ...

    def getall(self, key: str, default: list[str], /) -> list[str]:
        """Return all values of a field, in order."""
        ...

    def items(self) -> Iterable[tuple[str, str]]:
        """Return all fields."""
        ...


class NoQuery(Strict, frozen=True):
    """Of an operation that has no parameters, and refuses any."""


class AnyOf(NamedTuple):
    """One of some types, or, with `many`, also an array of them."""

    kinds: tuple[object, ...]
    many: bool = False


class Body(NamedTuple):
    """What is sent to an operation."""

    type: type = bytes
    """A struct, which is read from JSON, or bytes; `Incoming` if the handler reads them itself."""
    media: tuple[str, ...] = (JSON,)
    """Media types that are read, the first one if nothing is said; empty: nobody asks."""
    required: bool = True


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    """As docs/http-api.md and /openapi.json say it; `{name}` is a parameter, `{name:pattern}` one that must match."""
    label: str
    """The name under which its requests are counted."""
    access: Access
    handle: "Callable[[Call[Any, Any], Context], Awaitable[Answer | Stream | None] | Answer | Stream]"
    answers: Mapping[int, object]
    """Status → the type that is sent as JSON, or media type → type, or None without a body."""
    query: type[msgspec.Struct] | None = NoQuery
    """The struct of its parameters; None if nobody looks at them."""
    body: Body | None = None
    group: str = "registry"
    """With which its times are told."""
    upgrades: bool = False
    """It speaks WebSocket: the credential may stand in a subprotocol, as browsers can set no header."""
    share: str | None = None
    """Which calls at once it counts among; of those a credential has a share."""

    @property
    def is_read(self) -> bool:
        """Whether nothing is done, so that it may end in its midst."""
        return bool(self.access.roles) and not self.upgrades and (self.method == "GET" or self.share == LISTS)


class Acquaintance(Protocol):
    """The connection that a request came on."""

    def know(self, device: str | None) -> None:
        """Note that its credential is valid, and whose it is if it is a device's."""
        ...

    async def hold_back(self, secs: float) -> None:
        """Return after so long, or as soon as somebody else wants its seat."""
        ...


class Call(msgspec.Struct, Generic[Query, Content], kw_only=True):
    """One request. `Query` is the struct of its parameters, `Content` what its body holds."""

    operation: Operation
    path: dict[str, Any]
    """The parameters of the path."""
    query_string: str
    url: bytes
    """The address as it was sent."""
    headers: Headers
    peer: str
    incoming: Incoming
    visit: Visit | None = None
    """What the limits count it as; None where there are none."""
    authorization: str | None = None
    """The credential that was presented."""
    principal: Principal = NOBODY
    query: Query = cast("Any", None)
    content: Content = cast("Any", None)
    connection: Acquaintance | None = None
    """Who is told that the credential is valid."""
    link: Any = None
    """What a WebSocket is made on."""

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return self.headers.getone(name, None)

    def permit(self, device: str) -> None:
        """Raise Forbidden unless it may be done to this device, too."""
        self.operation.access.check(self.principal, device)
