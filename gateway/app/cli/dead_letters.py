"""`gateway dead-letters`: shows, replays, removes them. Exit codes: 0 done, 1 failed, 2 wrong use."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from cyclopts import App, Parameter
from cyclopts.validators import Number
from msgspec.structs import asdict

from gateway.app.cli.api_client import DEFAULT_URL, KeyFile, Url, ask
from gateway.app.cli.output import print_fields, print_json, print_note, print_table
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

Code = Annotated[str | None, Parameter(help="Only this reason, such as unknown_device.")]
Device = Annotated[str | None, Parameter(help="Only this device.")]
Source = Annotated[str | None, Parameter(help="Only this source: mqtt or database.")]
Since = Annotated[str | None, Parameter(help="Only what was refused since then: 2026-01-31T12:00:00Z.")]
LetterId = Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Its id in the list.")]
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=MAX_PAGE), help="Lines at most.")]

SHOWN_OF_RECEIPT = ("accepted", "duplicates", "durability")

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
    code: Code = None,
    device: Device = None,
    source: Source = None,
    since: Since = None,
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
    replayed = "false" if only_open else None
    wanted = exit_on_error(
        lambda: to_dead_letter_filter(code=code, device=device, source=source, since=since, replayed=replayed)
    )
    letters = run(lambda s: s.dead_letters.page(wanted, before=before, limit=limit), database=database)
    if as_json:
        print_json([to_item(letter) for letter in letters])
    else:
        _show_letters(letters)
    if len(letters) == limit:
        print_note(f"There may be more: --before {letters[-1].id}")


@dead_letters_app.command(name="show")
def show_letter(letter: LetterId, /, *, database: Database = None, as_json: Json = False) -> None:
    """Show a dead letter with its whole payload; bytes that are no text are shown in Base64."""
    item = to_item(run(lambda s: s.dead_letters.find(letter), database=database))
    if as_json:
        print_json(item)
    else:
        print_fields(asdict(item))


@dead_letters_app.command(name="replay")
def replay_letters(
    letter: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Only this one.")] = None,
    /,
    *,
    code: Code = None,
    device: Device = None,
    source: Source = None,
    since: Since = None,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Every letter that is open.")] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Let a running gateway take letters in once more. Exit code 1 if something was refused again."""
    wanted = exit_on_error(lambda: to_dead_letter_filter(code=code, device=device, source=source, since=since))
    exit_on_error(lambda: _check_choice(wanted, letter, every=every))
    if letter is not None:
        answer = exit_on_error(lambda: ask(url, f"/v1/dead-letters/{letter}:replay", key_file=key_file, method="POST"))
        receipt = json.loads(answer)["receipt"]
        _show({"replayed": letter, **{name: receipt[name] for name in SHOWN_OF_RECEIPT}}, as_json=as_json)
        return
    replayed = refused = 0
    for page in _replayed_pages(url, wanted, key_file):
        replayed += page["replayed"]
        refused += page["refused"]
        for error in page["errors"]:
            print_note(f"{error['id']}: {error['code']}: {error['detail']}")
    _show({"replayed": replayed, "refused": refused}, as_json=as_json)
    if refused:
        raise SystemExit(FAILED)


@dead_letters_app.command(name="purge")
def purge_letters(
    letter: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MAX_ID), help="Only this one.")] = None,
    /,
    *,
    code: Code = None,
    device: Device = None,
    source: Source = None,
    since: Since = None,
    replayed: Annotated[bool, Parameter(negative="", help="Only those that were replayed.")] = False,
    every: Annotated[bool, Parameter(name="--all", negative="", help="Every letter.")] = False,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """Remove dead letters for good. What is too old or too much goes by itself: see the settings dead_letters."""
    done = "true" if replayed else None
    wanted = exit_on_error(
        lambda: to_dead_letter_filter(code=code, device=device, source=source, since=since, replayed=done)
    )
    exit_on_error(lambda: _check_choice(wanted, letter, every=every))
    removed = run(lambda s: _purge(s, wanted, letter), database=database)
    _show({"removed": removed}, as_json=as_json)


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


def _show_letters(letters: list[StoredDeadLetter]) -> None:
    rows = [
        (
            one.id,
            one.last_at,
            one.count,
            one.code,
            one.device or one.topic,
            "replayed" if one.replayed_at else one.detail,
        )
        for one in letters
    ]
    print_table(("id", "last", "times", "code", "device", "detail"), rows, empty="no dead letters")


def _show(fields: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(fields)
    else:
        print_fields(fields)
