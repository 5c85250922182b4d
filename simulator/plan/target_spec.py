"""Which target a run is for, as its plan keeps it: words in, nothing out. Pure; `choose` makes the target."""

from pathlib import Path
from typing import Literal

from msgspec import Struct

Kind = Literal["gateway", "influx", "custom"]


class TargetSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A target by name. `adapter` is the path of a Python file, `db` and `org` are InfluxDB's. Never holds a secret."""

    kind: Kind = "gateway"
    adapter: str = ""
    db: str = ""
    org: str = ""

    @property
    def title(self) -> str:
        """What reports call it."""
        return Path(self.adapter).name if self.kind == "custom" else self.kind
