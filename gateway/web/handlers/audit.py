"""The audit: who did what, newest first. For admins; changes nothing."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.core.timestamps import to_datetime, to_text
from gateway.timescale.registry.audit import MAX_ID, AuditEntry
from gateway.web.context import Context
from gateway.web.http.call import Call
from gateway.web.http.fields import MOMENTS, Cursor, Id, Moment, NextCursor, PageLimit, SpokenMoment, Strict
from gateway.web.http.query import to_moment, to_page
from gateway.web.http.responses import NO_STORE, Answer


class AuditQuery(Strict, frozen=True):
    """Which acts are listed."""

    since: Annotated[SpokenMoment | None, Meta(description=f"Only acts of then or later. {MOMENTS}")] = None
    actor: Annotated[str | None, Meta(description="Only acts of this one.", examples=["admin key"])] = None
    limit: PageLimit = 100
    cursor: Cursor = None


class AuditedAction(Strict, frozen=True):
    """What an admin did."""

    id: Id
    at: Moment
    actor: Annotated[str, Meta(examples=['key 12 "ops"', "admin key", "cli anna"])]
    action: Annotated[str, Meta(examples=["device.create"])]
    target: str
    detail: dict[str, Any]


class AuditPage(Strict, frozen=True):
    """A page of what admins did."""

    entries: list[AuditedAction]
    next_cursor: NextCursor


async def list_audit(call: Call[AuditQuery, None], parts: Context) -> Answer:
    """Answer with a page of acts."""
    query = call.query
    since = None if query.since is None else to_moment(query.since, parameter="since", now_us=parts.clock.now_us())
    page = to_page(query.limit, query.cursor, about=("audit", query.actor))
    entries = await parts.registrar.audit.page(
        since=None if since is None else to_datetime(since),
        actor=query.actor,
        before=page.last_number(most=MAX_ID),
        limit=page.limit + 1,
    )
    shown, last = page.cut(entries)
    return Answer(
        AuditPage(entries=[to_action(entry) for entry in shown], next_cursor=page.cursor(last and last.id)),
        headers=NO_STORE,
    )


def to_action(entry: AuditEntry) -> AuditedAction:
    """Return an act as it is shown."""
    return AuditedAction(**msgspec.structs.asdict(entry) | {"at": to_text(entry.at)})
