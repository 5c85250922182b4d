"""The name of the admin who calls, as the audit says it."""

from typing import Any

from gateway.domain.credentials import digest_of
from gateway.ingest.admission.auth import to_token
from gateway.web.context import Context
from gateway.web.http.call import Call


async def acting(call: Call[Any, Any], parts: Context) -> str:
    """Return whose admin key this is; call it when the act is about to be done, for it asks the database."""
    return await parts.registrar.audit.actor(digest_of(to_token(call.authorization or "") or ""))
