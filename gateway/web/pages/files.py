"""The files of the fleet page, read once and compressed: name in, bytes with media type and ETag out. No other file."""

import gzip
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parents[1] / "static"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """One file."""

    plain: bytes
    packed: bytes
    """The same, gzipped."""
    media: str
    etag: str
    """Of the content; the packed form is named apart (RFC 9110 8.8.3.3)."""

    def tag(self, *, packed: bool) -> str:
        """Return the ETag of one of the forms."""
        return f'"{self.etag}{"-gz" if packed else ""}"'


@cache
def assets() -> dict[str, Asset]:
    """Return all files by name."""
    return {path.name: _load(path) for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA}


def _load(path: Path) -> Asset:
    plain = path.read_bytes()
    digest = blake2b(plain, digest_size=9).hexdigest()
    return Asset(plain, gzip.compress(plain, mtime=0), MEDIA[path.suffix], digest)
