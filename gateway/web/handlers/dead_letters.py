"""Dead letters and their replay, for admins; never looks into a payload."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import (
    MAX_FILTER,
    MAX_PAGE,
    DeadLetterFilter,
    DeadLetterItem,
    to_dead_letter_filter,
    to_item,
    to_number,
)
from gateway.web.context import Context
from gateway.web.http.audited import acting
from gateway.web.http.call import Call, NoQuery
from gateway.web.http.fields import Moment, NextCursor, Strict
from gateway.web.http.responses import NO_STORE, Answer

LIMIT = 100
"""Letters of a page, unless the caller says otherwise."""
REFUSED_AGAIN = 422

Word = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z0-9_]{1,64}$"})]


class ReplayQuery(Strict, frozen=True):
    """Which open letters are replayed."""

    code: Annotated[Word | None, Meta(description="Only letters with this code.", examples=["unknown_device"])] = None
    device: Annotated[
        Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_FILTER})] | None,
        Meta(description="Only letters of this device.", examples=["d1"]),
    ] = None
    source: Annotated[Word | None, Meta(description="Only `mqtt` or `database`.", examples=["mqtt"])] = None
    since: Annotated[Moment | None, Meta(description="Only those refused then or later, for the last time.")] = None
    cursor: Annotated[
        Annotated[str, Meta(extra_json_schema={"pattern": "^[1-9][0-9]{0,17}$"})] | None,
        Meta(description="The `next_cursor` before."),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description=f"Letters of a page; {LIMIT} if left out.")] = (
        msgspec.field(default_factory=lambda: LIMIT)
    )

    @property
    def after(self) -> int | None:
        """The letter after which the page begins. Raises BadRequest."""
        return None if self.cursor is None else to_number(self.cursor, parameter="cursor")

    def wanted(self, *, replayed: bool | None = None) -> DeadLetterFilter:
        """Return which letters are meant. Raises BadRequest for what no letter can have."""
        wanted = to_dead_letter_filter(code=self.code, device=self.device, source=self.source, since=self.since)
        return msgspec.structs.replace(wanted, replayed=replayed)


class DeadLetterQuery(ReplayQuery, frozen=True, kw_only=True):
    """Which letters are listed."""

    replayed: Annotated[
        bool | None, Meta(description="Only those that were replayed, or only those that were not.")
    ] = None


class DeadLetterPage(Strict, frozen=True):
    """A page of dead letters."""

    dead_letters: list[DeadLetterItem]
    next_cursor: NextCursor


async def list_letters(call: Call[DeadLetterQuery, None], parts: Context) -> Answer:
    """Answer with a page of letters, newest first, and with a cursor if there may be more."""
    query = call.query
    wanted = query.wanted(replayed=query.replayed)
    letters = await parts.letters.page(wanted, before=query.after, limit=query.limit)
    following = str(letters[-1].id) if len(letters) == query.limit else None
    page = DeadLetterPage(dead_letters=[to_item(letter) for letter in letters], next_cursor=following)
    return Answer(page, headers=NO_STORE)


async def get_letter(call: Call[NoQuery, None], parts: Context) -> Answer:
    """Answer with one letter and its whole payload."""
    return Answer(to_item(await parts.letters.find(call.path["letter"])), headers=NO_STORE)


async def replay_letter(call: Call[NoQuery, bytes], parts: Context) -> Answer:
    """Take a letter's bytes in once more: 200 if all of it is safe now, 422 if something was refused again."""
    _refuse_body(call.content)
    result = await parts.redelivery.one(call.path["letter"], actor=await acting(call, parts))
    return Answer(result, 200 if result.replayed else REFUSED_AGAIN)


async def replay_letters(call: Call[ReplayQuery, bytes], parts: Context) -> Answer:
    """Replay a page of the letters that are open, oldest first, and say how many remain."""
    _refuse_body(call.content)
    query, wanted = call.query, call.query.wanted()
    actor = await acting(call, parts)
    report = await parts.redelivery.some(
        wanted,
        after=query.after or 0,
        limit=query.limit,
        actor=actor,
        go_on=lambda: parts.watch.is_valid(call.authorization, call.principal),
    )
    parts.watch.check(call.authorization, call.principal)
    return Answer(report)


def _refuse_body(body: bytes) -> None:
    """Raise BadRequest for a body: filters in it would be passed over, and everything replayed."""
    if body:
        raise BadRequest("this call has no body; filters are parameters of the address: code, device, source, since")
