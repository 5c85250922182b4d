"""An Authorization header in, a principal out, or 401/403. Never reads the body: who may not write sends it in vain."""

from sanic import Request

from gateway.core.errors import Forbidden, Unauthorized
from gateway.domain.model import Principal, Role
from gateway.web.context import Context


async def identify(request: Request, context: Context, header: str | None = None) -> Principal:
    """Return who is calling; from the cache at once, else after a look-up. `header` stands in for the request's own.

    Raises Unauthorized, SinkUnavailable; and RateLimited, for every request that is identified counts.
    """
    limits = context.limits
    if limits is not None:
        limits.arrive(request)
    header = request.headers.getone("authorization", None) if header is None else header
    if header is not None and not header.isascii():
        raise Unauthorized
    principal = context.authenticator.principal(header) or await context.authenticator.authenticate(header)
    if limits is not None:
        limits.identified(request, principal, header)
    return principal


def require_writer(principal: Principal, device: str | None) -> None:
    """Raise Forbidden unless readings may be written: of this device, or of any at all if None."""
    if principal.role is Role.READER:
        raise Forbidden("a reader key may not write readings; use a device token or an ingest key")
    if device is not None and not principal.may_write(device):
        raise Forbidden(
            f"this credential may not write device {device!r}; use that device's token or an ingest key",
            device=device,
        )


def require_reader(principal: Principal, device: str) -> None:
    """Raise Forbidden unless the newest state of this device may be read."""
    if principal.role is Role.INGEST:
        raise Forbidden("an ingest key may not read; use a reader key or the device's token")
    if not principal.may_read(device):
        raise Forbidden(
            f"this credential may not read device {device!r}; use a reader key or that device's token", device=device
        )


def require_reader_of_all(principal: Principal) -> None:
    """Raise Forbidden unless everything may be read."""
    if principal.role not in (Role.READER, Role.ADMIN):
        raise Forbidden("this credential may not list devices; use a reader key")


def require_admin(principal: Principal) -> None:
    """Raise Forbidden unless everything may be done."""
    if principal.role is not Role.ADMIN:
        raise Forbidden("only an admin key may do this")
