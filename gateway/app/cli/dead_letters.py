"""`gateway dead-letters`: shows, replays, removes them. Exit codes: 0 done, 1 failed, 2 wrong use."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import App, Parameter
from cyclopts.validators import Number
from msgspec.structs import asdict

from gateway.app.cli.api_client import DEFAULT_URL, KeyFile, Url, ask
from gateway.app.cli.output import print_answer, print_json, print_note, print_page
from gateway.app.cli.registry_options import Database, Json
from gateway.app.cli.session import FAILED, AdminSession, exit_on_error, run
from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import (
    MAX_ID,
    MAX_PAGE,
    DeadLetterFilter,
    StoredDeadLetter,
    to_dead_letter_filter,
    to_item,
)

LetterId = Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Its id in the list.")]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_PAGE), help="Lines at most.")]

COLUMNS: dict[str, Callable[[StoredDeadLetter], object]] = {
    "id": attrgetter("id"),
    "last": attrgetter("last_at"),
    "times": attrgetter("count"),
    "code": attrgetter("code"),
    "device": lambda one: one.device or one.topic,
    "detail": lambda one: "replayed" if one.replayed_at else one.detail,
}
SHOWN_OF_RECEIPT = ("accepted", "duplicates", "durability")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which letters are meant."""

    code: Annotated[str | None, Parameter(help="Only this reason, such as unknown_device.")] = None
    device: Annotated[str | None, Parameter(help="Only this device.")] = None
    source: Annotated[str | None, Parameter(help="Only this source: mqtt or database.")] = None
    since: Annotated[str | None, Parameter(help="Only what was refused since then: 2026-01-31T12:00:00Z.")] = None

    def checked(self, *, replayed: str | None = None) -> DeadLetterFilter:
        """Return what to ask for; leaves the process for what no letter can have."""
        return exit_on_error(lambda: to_dead_letter_filter(**dataclasses.asdict(self), replayed=replayed))


ALL = Filters()
dead_letters_app = App(
    name="dead-letters",
    help="What was refused over MQTT or by the database: look at it, replay it, remove it.",
    help_format="plaintext",
    help_epilogue="""Examples:

gateway dead-letters list --code unknown_device

gateway dead-letters show 17

gateway dead-letters replay --device press-1

gateway dead-letters purge --code bad_payload --since 2026-01-31T12:00:00Z""",
)


@dead_letters_app.command(name="list")
def list_letters(
    *,
    filters: Filters = ALL,
    only_open: Annotated[bool, Parameter(name="--open", negative="", help="Not those that were replayed.")] = False,
    before: Annotated[
        int | None,
        Parameter(validator=Number(gte=1, lte=MAX_ID), help="Start before this id: the last one of the page before."),
    ] = None,
    limit: Limit = 100,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """List dead letters, newest first."""
    wanted = filters.checked(replayed="false" if only_open else None)
    letters = run(lambda s: s.dead_letters.page(wanted, before=before, limit=limit), database=database)
    if as_json:
        print_json([to_item(letter) for letter in letters])
    else:
        print_page(letters, COLUMNS, empty="no dead letters", json=False)
    if len(letters) == limit:
        print_note(f"There may be more: --before {letters[-1].id}")


@dead_letters_app.command(name="show")
def show_letter(letter: LetterId, /, *, database: Database = None, as_json: Json = False) -> None:
    """Show a dead letter with its whole payload; bytes that are no text are shown in Base64."""
    item = to_item(run(lambda s: s.dead_letters.find(letter), database=database))
    print_answer(asdict(item), json=as_json)


@dead_letters_app.command(name="replay")
def replay_letters(
    letter: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Only this one.")] = None,
    /,
    *,
    filters: Filters = ALL,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Every letter that is open.")] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Let a running gateway take letters in once more. Exit code 1 if something was refused again."""
    wanted = filters.checked()
    exit_on_error(lambda: _check_choice(wanted, letter, every=every))
    if letter is not None:
        answer = exit_on_error(lambda: ask(url, f"/v1/dead-letters/{letter}:replay", key_file=key_file, method="POST"))
        receipt = json.loads(answer)["receipt"]
        print_answer({"replayed": letter, **{name: receipt[name] for name in SHOWN_OF_RECEIPT}}, json=as_json)
        return
    replayed = refused = 0
    for page in _replayed_pages(url, wanted, key_file):
        replayed += page["replayed"]
        refused += page["refused"]
        for error in page["errors"]:
            print_note(f"{error['id']}: {error['code']}: {error['detail']}")
    print_answer({"replayed": replayed, "refused": refused}, json=as_json)
    if refused:
        raise SystemExit(FAILED)


@dead_letters_app.command(name="purge")
def purge_letters(
    letter: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Only this one.")] = None,
    /,
    *,
    filters: Filters = ALL,
    replayed: Annotated[bool, Parameter(negative="", help="Only those that were replayed.")] = False,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Every letter.")] = False,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Remove dead letters for good. What is too old or too much goes by itself: see the settings dead_letters."""
    wanted = filters.checked(replayed="true" if replayed else None)
    exit_on_error(lambda: _check_choice(wanted, letter, every=every))
    removed = run(lambda s: _purge(s, wanted, letter), database=database)
    print_answer({"removed": removed}, json=as_json)


async def _purge(session: AdminSession, wanted: DeadLetterFilter, letter: int | None) -> int:
    """Remove letters, and return how many they were."""
    if letter is None:
        return await session.dead_letters.purge(wanted, actor=session.actor)
    await session.dead_letters.remove(letter, actor=session.actor)
    return 1


def _check_choice(wanted: DeadLetterFilter, letter: int | None, *, every: bool) -> None:
    """Raise BadRequest unless it is said in one way which letters are meant: never all of them by an omission."""
    if [letter is not None, not wanted.everything, every].count(True) != 1:
        raise BadRequest("say which letters: an id, or filters such as --code and --device, or --all")


def _replayed_pages(url: str, wanted: DeadLetterFilter, key_file: Path | None) -> Iterator[dict[str, Any]]:
    """Replay page after page until none remains."""
    filters = {name: value for name, value in asdict(wanted).items() if value is not None}
    if wanted.since is not None:
        filters["since"] = wanted.since.isoformat()
    more = True
    while more:
        path = f"/v1/dead-letters:replay?{urlencode(filters)}"
        page = json.loads(exit_on_error(partial(ask, url, path, key_file=key_file, method="POST")))
        yield page
        filters["cursor"] = page["next_cursor"]
        more = page["next_cursor"] is not None
