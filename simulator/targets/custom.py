"""A target from a Python file: a path in, a guarded target out. Whatever is wrong with it is a UsageError.

The file is executed: it is the user's own, given by name on the command line.
"""

import importlib.util
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from simulator.core.errors import ConnectionLost, Refused, SimulatorError, Unreachable, UsageError
from simulator.plan.faults import Fault
from simulator.plan.plan import Part, Plan
from simulator.send.drivers.http import HttpClient
from simulator.send.encode import Post, Run
from simulator.send.loads.truth import Truths
from simulator.send.receipts import Answer
from simulator.send.target import Codec, Column, Source, Target

CLASS = "Target"
"""The class that an adapter must have."""


def load(path: Path) -> Target:
    """Return the target that the file's class `Target` makes. Raises UsageError."""
    kind = getattr(_executed(path), CLASS, None)
    if not isinstance(kind, type) or not issubclass(kind, Target) or kind is Target:
        raise UsageError(f"The adapter {path} has no class {CLASS} that extends simulator.adapter.{CLASS}.")
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    if missing:
        raise UsageError(f"The adapter {path} has no method {', '.join(missing)} in its class {CLASS}.")
    with _telling(path, f"{CLASS}()"):
        return _Guarded(kind(), path)


@contextmanager
def _telling(path: Path, where: str, *, lost: str = "The target does not answer") -> Iterator[None]:
    """Tell of an exception in an adapter with the last line of the file that it came through, as a UsageError."""
    try:
        yield
    except (SimulatorError, Refused):
        raise
    except ConnectionLost as error:
        raise Unreachable(f"{lost}: {error}.") from error
    except Exception as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
        at = f", line {lines[-1]}" if lines else ""
        raise UsageError(f"The adapter {path}{at} failed in {where}: {type(error).__name__}: {error}") from error


def _executed(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulator_adapter", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(f"There is no adapter {path}: give a Python file with --adapter.")
    module = importlib.util.module_from_spec(spec)
    with _telling(path, "its own lines"):
        spec.loader.exec_module(module)
    return module


class _Guarded(Target):
    """A target of somebody else's: what it gives back is looked at, what it raises is told with its place."""

    def __init__(self, target: Target, path: Path) -> None:
        """Raise UsageError for attributes that are not what they must be."""
        self._target = target
        self._path = path
        self.name, self.transports, self.compression = target.name, target.transports, target.compression
        self.refusals = target.refusals
        self._require(isinstance(self.name, str), "name must be a str")
        self._require(set(self.transports) <= {"http", "mqtt"}, 'transports must be a set of "http" and "mqtt"')
        self._require(set(self.compression) <= {"none", "gzip", "zstd"}, "compression must be a set of codings")
        sound = all(
            isinstance(fault, Fault) and isinstance(status, int) and isinstance(code, str)
            for fault, (status, code) in self.refusals.items()
        )
        self._require(sound, "refusals must map a Fault to a status and a code")

    def _require(self, condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence at the call
        if not condition:
            raise UsageError(f"The adapter {self._path}: {what}.")

    def codec(self, part: Part) -> Codec:
        with self._telling("codec"):
            return _GuardedCodec(self._target.codec(part), self._path)

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset(self._target.faults)

    def truth(self, part: Part) -> Truths:
        with self._telling("truth"):
            return self._target.truth(part)

    def authorization(self, key: str) -> str:
        with self._telling("authorization"):
            return self._target.authorization(key)

    async def check_access(self, client: HttpClient) -> None:
        check = getattr(self._target, "knock", self._target.check_access)  # its name before this release
        with self._telling(check.__name__):
            await check(client)

    async def prepare(self, client: HttpClient, plan: Plan) -> None:
        with self._telling("prepare"):
            await self._target.prepare(client, plan)

    async def clean(self, client: HttpClient, plan: Plan) -> None:
        with self._telling("clean"):
            await self._target.clean(client, plan)

    def source(self, client: HttpClient) -> Source | None:
        with self._telling("source"):
            found = self._target.source(client)
        return None if found is None else _GuardedSource(found, self._path)

    def _telling(self, where: str) -> AbstractContextManager[None]:
        return _telling(self._path, where, lost=f"The target {self.name} does not answer")


class _GuardedCodec:
    """A codec of somebody else's."""

    def __init__(self, codec: Codec, path: Path) -> None:
        self._codec = codec
        self._path = path

    def write(self, number: int, runs: Sequence[Run]) -> Post:
        with _telling(self._path, "write"):
            post = self._codec.write(number, runs)
        if not isinstance(post, Post) or not isinstance(post.body, bytes):
            raise UsageError(
                f"The adapter {self._path}: write must return a Post whose body is bytes, not {post!r:.80}."
            )
        return post

    def read(self, number: int, status: int, body: bytes) -> Answer:
        with _telling(self._path, "read"):
            answer = self._codec.read(number, status, body)
        if not isinstance(answer, Answer):
            raise UsageError(f"The adapter {self._path}: read must return an Answer, not {answer!r:.80}.")
        return answer


class _GuardedSource:
    """A source of somebody else's: what it raises is a reason not to know, for the run itself is over."""

    def __init__(self, source: Source, path: Path) -> None:
        self._source = source
        self._path = path
        self.shows_twins = bool(source.shows_twins)

    async def count(self, names: Sequence[str], *, since_ms: int) -> int | None:
        with self._refusing("count"):
            return await self._source.count(names, since_ms=since_ms)

    async def columns(self, names: Sequence[str], *, since_ms: int, until_ms: int, first: int) -> AsyncIterator[Column]:
        with self._refusing("columns"):
            async for column in self._source.columns(names, since_ms=since_ms, until_ms=until_ms, first=first):
                yield column

    async def close(self) -> None:
        await self._source.close()

    @contextmanager
    def _refusing(self, where: str) -> Iterator[None]:
        try:
            with _telling(self._path, where, lost="The target does not show what is stored"):
                yield
        except UsageError as error:
            raise Refused(str(error)) from error
