"""Options that the commands of the registry share, and how they show tokens and keys. No command of its own."""

from collections.abc import Callable
from datetime import timedelta
from operator import attrgetter
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from gateway.app.cli.output import print_answer, print_note, print_page
from gateway.domain.credentials import MAX_LIFETIME, OVERLAP, Credential, Issued

Database = Annotated[
    str | None,
    Parameter(name="--database", help="Database URL; default: database.url of the settings (GATEWAY_DATABASE__URL)."),
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
Days = Annotated[
    int | None, Parameter(validator=Number(gte=1, lte=MAX_LIFETIME.days), help="Days until it expires; default: never.")
]
Overlap = Annotated[
    int,
    Parameter(
        validator=Number(gte=0, lte=MAX_LIFETIME.days * 86_400),
        help="Seconds for which the token in use stays valid beside the new one; 0 = revoke it now.",
    ),
]
DEFAULT_OVERLAP = OVERLAP // timedelta(seconds=1)
Limit = Annotated[int, Parameter(validator=Number(gte=1, lte=1000), help="Lines at most.")]


def to_lifetime(days: int | None) -> timedelta | None:
    """Days → how long a credential lives; None: for ever."""
    return None if days is None else timedelta(days=days)


def show_issued(issued: Issued, about: dict[str, object], *, json: bool) -> None:
    """Show a token, this once."""
    print_answer({**about, "id": issued.id, "token": issued.token}, json=json)
    if not json:
        print_note("The token is shown this once. Send it as 'Authorization: Bearer <token>'.")


def show_credentials(credentials: list[Credential], *, empty: str, json: bool) -> None:
    """Show keys and tokens."""
    columns: dict[str, Callable[[Credential], object]] = {
        "id": attrgetter("id"),
        "role": attrgetter("role.value"),
        "device/prefix": lambda one: one.device or one.prefix,
        "label": attrgetter("label"),
        "created": attrgetter("created_at"),
        "until": lambda one: "revoked" if one.revoked_at is not None else one.expires_at,
    }
    print_page(credentials, columns, empty=empty, json=json)
