"""Events of the database's lineage, one function each. Never raises, never waits."""

from typing import Protocol

from gateway.telemetry import events


class Line(Protocol):
    """What of a server is told."""

    @property
    def installation(self) -> str | None:
        """Which database it is."""
        ...

    @property
    def system(self) -> str:
        """Which cluster."""
        ...

    @property
    def timeline(self) -> int:
        """Which line of its history."""
        ...


def moved(was: Line, now: Line, *, rewound: bool) -> None:
    """Say that the database goes on from another state than the one that was seen."""
    if rewound:
        sentence = "The database was put back to an earlier time; names are looked up and the state is filled anew."
    elif was.installation != now.installation:
        sentence = "The database is another one; names are looked up and the state is filled anew."
    elif was.system != now.system:
        sentence = "The database is a copy in another cluster; names are looked up and the state is filled anew."
    else:
        sentence = "The database goes on as another timeline (a failover or a restore); names are looked up anew."
    events.say("warning", "database_moved", sentence, timeline_was=was.timeline, timeline=now.timeline)


def old_primary(sentence: str) -> None:
    """Say that a server is not believed."""
    events.say("error", "old_primary", "The database server is not the right one.", error=sentence)


def not_kept(exc: OSError) -> None:
    """Say that the highest timeline could not be read or kept on disk."""
    sentence = "The database's highest timeline cannot be read or kept in spool.dir."
    events.say("warning", "timeline_not_kept", sentence, error=str(exc))
