"""A request in, the name of the admin who sent it out, as the audit says it. Raises Forbidden for everybody else."""

from sanic import Request

from gateway.domain.credentials import digest_of
from gateway.ingest.admission.auth import to_token
from gateway.web.context import Context
from gateway.web.http.permissions import identify, require_admin


async def admitted(request: Request, context: Context) -> None:
    """Raise Unauthorized or Forbidden unless an admin is asking."""
    require_admin(await identify(request, context))


async def acting(request: Request, context: Context) -> str:
    """Return whose admin key this is; call it when the act is about to be done, for it asks the database."""
    header = request.headers.getone("authorization", "")
    return await context.registrar.audit.actor(digest_of(to_token(header) or ""))
