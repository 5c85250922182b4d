"""The file of watermarks. In: how far clusters were seen to be. Out: the same after a restart. Only grows."""

import asyncio
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.domain.timelines import Watermark

FILE = "timelines.json"


class WatermarkFile:
    """`WatermarkStore` in the folder of the spool, shared by all processes of a host. Does not make the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE

    async def merge(self, key: str, watermark: Watermark) -> Watermark:
        """Return after fsync if the watermark is higher than what is kept; how long the log was is not kept here."""
        return Watermark(await asyncio.to_thread(self._merge, key, watermark.value))

    def _merge(self, key: str, value: int) -> int:
        kept = self._read().get(key, 0)
        if value <= kept or not self._folder.is_dir():
            return max(value, kept)
        with self._locked() as folder:
            watermarks = self._read()
            watermarks[key] = max(value, watermarks.get(key, 0))
            self._write(watermarks, folder)
        return watermarks[key]

    def _read(self) -> dict[str, int]:
        """Return what is kept; what is no file of ours is nothing, and is written anew."""
        try:
            found = json.loads(self._path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if isinstance(value, int)}

    def _write(self, watermarks: Mapping[str, int], folder: int) -> None:
        draft = self._path.with_suffix(".new")
        with draft.open("w") as file:
            json.dump(watermarks, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        os.fsync(folder)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """Keep other processes out; the folder itself is the lock."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)
