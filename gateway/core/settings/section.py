"""Section: one part of the tree of settings, and the types of its fields.

Each field carries its unit in its name and a sentence that `gateway settings` and docs/settings.md print.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
PerSecond = Annotated[float, Meta(ge=0, le=1e12)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of the tree; a stage gets its own branch, never the tree."""
