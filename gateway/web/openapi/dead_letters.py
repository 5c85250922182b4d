"""The calls for dead letters, described."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.core.errors import NotFound
from gateway.domain.dead_letters import MAX_FILTER, MAX_PAGE
from gateway.domain.model import Role
from gateway.services.dead_letter_replay import Replayed, Run
from gateway.web.openapi.refusals import BODIES, GUARDED, INTAKE, PARAMETERS, STORED
from gateway.web.openapi.values import NO_STORE, Count, Flag, Id, Moment
from gateway.web.openapi.words import JSON, Operation, Parameter, ResponseDoc, refusals

Word = Annotated[str, Meta(pattern="^[a-z0-9_]{1,64}$")]


class DeadLetter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What was refused over MQTT or by the database. The same item again raises `count` and `last_at`."""

    id: Id
    source: Annotated[str, Meta(description="`mqtt` or `database`.")]
    code: Annotated[str, Meta(description="Why it was refused.")]
    detail: str
    device: Annotated[str | None, Meta(description="As the topic named it.")]
    topic: str | None
    first_at: Moment
    last_at: Moment
    count: Annotated[int, Meta(ge=1, description="How many times the same item was refused.")]
    replayed_at: Moment | None
    size: Annotated[Count, Meta(description="Bytes of the payload.")]
    payload: Annotated[str | None, Meta(description="Text or Base64; null where a list leaves out a large one.")]
    encoding: Literal["utf-8", "base64"] | None


class DeadLetters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A page of dead letters."""

    dead_letters: list[DeadLetter]
    next_cursor: Annotated[str | None, Meta(description="For the page after this one; null at the end.")]


CODE = Parameter("code", Word, "Only letters with this code.", example="unknown_device")
DEVICE = Parameter(
    "device", Annotated[str, Meta(min_length=1, max_length=MAX_FILTER)], "Only letters of this device.", example="d1"
)
SOURCE = Parameter("source", Word, "Only `mqtt` or `database`.", example="mqtt")
SINCE = Parameter("since", Moment, "Only those refused then or later, for the last time.")
REPLAYED = Parameter("replayed", Flag, "Only those that were replayed, or only those that were not.")
CURSOR = Parameter("cursor", Annotated[str, Meta(pattern="^[1-9][0-9]{0,17}$")], "The `next_cursor` before.")
LIMIT = Parameter("limit", Annotated[int, Meta(ge=1, le=MAX_PAGE)], "Letters of a page; 100 if left out.")
ADMIN = (Role.ADMIN,)

OPERATIONS = {
    "dead_letters": Operation(
        "List dead letters, newest first",
        "Dead letters",
        answers=(ResponseDoc(200, "A page of letters.", {JSON: DeadLetters}, NO_STORE),),
        who=ADMIN,
        parameters=(CODE, DEVICE, SOURCE, SINCE, REPLAYED, LIMIT, CURSOR),
        refusals=GUARDED + PARAMETERS + STORED,
    ),
    "dead_letter": Operation(
        "One dead letter with its whole payload",
        "Dead letters",
        answers=(ResponseDoc(200, "The letter.", {JSON: DeadLetter}, NO_STORE),),
        who=ADMIN,
        refusals=GUARDED + PARAMETERS + STORED + refusals(NotFound),
    ),
    "dead_letter_replay": Operation(
        "Take a dead letter in once more",
        "Dead letters",
        answers=(
            ResponseDoc(200, "All of it is safe now, and the letter is marked.", {JSON: Replayed}),
            ResponseDoc(422, "Something was refused again; the letter stays open.", {JSON: Replayed}),
        ),
        about="A replay can be repeated: what is stored already is a duplicate. There is no body.",
        who=ADMIN,
        refusals=GUARDED + PARAMETERS + BODIES + STORED + INTAKE + refusals(NotFound),
    ),
    "dead_letters_replay": Operation(
        "Take a page of dead letters in once more, lowest id first",
        "Dead letters",
        answers=(ResponseDoc(200, "What became of them; `errors` are those refused again.", {JSON: Run}),),
        about="Go on with `next_cursor` as `cursor` until it is null; a call takes at most `limit` letters and 15 s.",
        who=ADMIN,
        parameters=(CODE, DEVICE, SOURCE, SINCE, LIMIT, CURSOR),
        refusals=GUARDED + PARAMETERS + BODIES + STORED + INTAKE,
    ),
}
