"""A server that is one child of ours: stopped, killed and started anew. Never knows which server it is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Self

from gateway.app.dev_servers.child_process import Child


@dataclass(slots=True)
class ChildServer(ABC):
    """``with`` starts and stops it; both may be done as often as one likes, on the same data and address."""

    _child: Child | None = field(default=None, init=False)

    @abstractmethod
    def start(self) -> None:
        """Start and return when it can be used; else LocalStackError."""

    def stop(self) -> None:
        """End it, politely first; return when it is gone."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """SIGKILL it and all its children, as a crash would."""
        if self._child is not None:
            self._child.kill()

    def restart(self) -> None:
        """Stop, if it runs, and start."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
