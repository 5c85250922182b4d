"""Questions about dead letters in, JSON out; replays through the one door. For admins; never looks into a payload."""

import msgspec
from sanic import HTTPResponse, Request

from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import MAX_PAGE, DeadLetterFilter, to_fields, to_number, to_wanted
from gateway.web.context import Context, context_of
from gateway.web.http.admins import acting
from gateway.web.http.path import refuse_unknown, shown
from gateway.web.http.permissions import identify, require_admin
from gateway.web.http.responses import reply

LIMIT = 100
"""Letters of a page, unless the caller says otherwise."""
FILTERS = "code, device, source, since"
REFUSED_AGAIN = 422
PRIVATE = {"cache-control": "no-store"}

_encode = msgspec.json.Encoder().encode


async def list_letters(request: Request) -> HTTPResponse:
    """Answer with a page of letters, newest first, and with a cursor if there may be more."""
    context = await _admitted(request)
    given = _given(request)
    replayed = given.pop("replayed", None)
    cursor, limit = _cursor_and_limit(given)
    wanted = _wanted(given, replayed, known=f"{FILTERS}, replayed, cursor, limit")
    letters = await context.letters.page(wanted, before=cursor, limit=limit)
    following = str(letters[-1].id) if len(letters) == limit else None
    body = {"dead_letters": [to_fields(letter) for letter in letters], "next_cursor": following}
    return reply(request, context, _encode(body), headers=PRIVATE)


async def get_letter(request: Request, letter: int) -> HTTPResponse:
    """Answer with one letter and its whole payload."""
    context = await _admitted(request)
    refuse_unknown(_given(request), known="none")
    found = await context.letters.find(letter)
    return reply(request, context, _encode(to_fields(found)), headers=PRIVATE)


async def replay_letter(request: Request, letter: int) -> HTTPResponse:
    """Take a letter's bytes in once more: 200 if all of it is safe now, 422 if something was refused again."""
    context = await _admitted(request)
    await _refuse_body(request, context)
    refuse_unknown(_given(request), known="none")
    result = await context.redelivery.one(letter, actor=await acting(request, context))
    return reply(request, context, _encode(result), status=200 if result.replayed else REFUSED_AGAIN)


async def replay_letters(request: Request, call: str) -> HTTPResponse:  # noqa: ARG001 - the path segment
    """Replay a page of the letters that are open, oldest first, and say how many remain."""
    context = await _admitted(request)
    await _refuse_body(request, context)
    given = _given(request)
    cursor, limit = _cursor_and_limit(given)
    wanted = _wanted(given, None, known=f"{FILTERS}, cursor, limit")
    actor = await acting(request, context)
    run = await context.redelivery.some(wanted, after=cursor or 0, limit=limit, actor=actor)
    return reply(request, context, _encode(run))


async def _admitted(request: Request) -> Context:
    context = context_of(request)
    require_admin(await identify(request, context))
    return context


async def _refuse_body(request: Request, context: Context) -> None:
    """Raise BadRequest for a body: filters in it would be passed over, and everything replayed."""
    with context.bodies.hold() as hold:
        if await hold.read(request):
            raise BadRequest(f"this call has no body; filters are parameters of the address: {FILTERS}")


def _given(request: Request) -> dict[str, str]:
    given: dict[str, list[str]] = request.get_args(keep_blank_values=True)
    for name, values in given.items():
        if len(values) > 1:
            raise BadRequest(f"{shown(name)} stands {len(values)} times; send it once", parameter=shown(name))
    return {name: value for name, [value] in given.items()}


def _cursor_and_limit(given: dict[str, str]) -> tuple[int | None, int]:
    cursor, limit = given.pop("cursor", None), given.pop("limit", str(LIMIT))
    return (
        None if cursor is None else to_number(cursor, parameter="cursor"),
        to_number(limit, parameter="limit", highest=MAX_PAGE),
    )


def _wanted(given: dict[str, str], replayed: str | None, *, known: str) -> DeadLetterFilter:
    filters = {name: given.pop(name, None) for name in ("code", "device", "source", "since")}
    refuse_unknown(given, known=known)
    return to_wanted(**filters, replayed=replayed)
