"""ETags (RFC 9110 8.8.3) of requests in, whether they name ours out. Pure."""

from collections.abc import Iterable, Sequence


def matches(given: Iterable[str], etag: str) -> bool:
    """Whether an If-None-Match header names this ETag (RFC 9110 13.1.2: the comparison is weak)."""
    tags = (tag.strip() for header in given for tag in header.split(","))
    return any(tag == "*" or tag.removeprefix("W/") == etag for tag in tags)


def if_match(given: Sequence[str]) -> list[str] | None:
    """Return the ETags of If-Match (RFC 9110 13.1.1), None if there is no such header."""
    return [tag.strip() for header in given for tag in header.split(",")] if given else None
