"""Devices: one, a change to one, the rules for tags, what a list asks for. No I/O, no clock."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.core.durations import SECOND_US
from gateway.core.errors import BadRequest, PreconditionFailed
from gateway.core.timestamps import to_rfc3339, to_text
from gateway.domain.names import check_prefix

Tag = tuple[str, str | None]
"""A tag's key and its value, or None for any value."""
MAX_TAGS = 64
MAX_TAG_KEY = 64
MAX_TAG_VALUE = 256
MAX_PAGE = 1000
"""Devices of one page."""
_TAG_KEY = re.compile(rf"[A-Za-z0-9._/\-]{{1,{MAX_TAG_KEY}}}")
_Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
TagKey = Annotated[str, Meta(extra_json_schema={"pattern": f"^{_TAG_KEY.pattern}$"})]
TagValue = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_TAG_VALUE}, description="Printable characters.")]


class Device(msgspec.Struct, frozen=True):
    """A thing that reports, as the registry has it."""

    id: int
    """Of this registration: one that is removed and added again gets another."""
    name: str
    enabled: bool
    tags: dict[str, str]
    created_at: datetime
    revision: int
    """Grows with every change."""
    reported: bool
    """Whether it ever sent a reading."""

    @property
    def etag(self) -> str:
        """A strong ETag (RFC 9110 8.8.3) of what the registry says: no reading changes it."""
        return f'"{self.id}-{self.revision}"'


class DevicePatch(msgspec.Struct, frozen=True, kw_only=True):
    """What shall become different; a JSON merge patch (RFC 7396) in our own words."""

    enabled: bool | None = None
    """None: as it is."""
    tags: Mapping[str, str | None] = {}
    """Tags to set; None removes one."""
    clear: bool = False
    """Remove all tags first."""

    def applied(self, *, enabled: bool, tags: Mapping[str, str]) -> tuple[bool, dict[str, str]]:
        """Return what a device becomes. Raises BadRequest for more tags than it may have."""
        merged: dict[str, str | None] = {**({} if self.clear else tags), **self.tags}
        kept = {key: value for key, value in merged.items() if value is not None}
        if len(kept) > MAX_TAGS:
            raise _too_many_tags(len(kept))
        return (enabled if self.enabled is None else self.enabled), kept


class DeviceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices a list is about."""

    prefix: str = ""
    tags: dict[str, str] = {}
    """Tags that it has with these values."""
    keys: tuple[str, ...] = ()
    """Tags that it has with any value."""
    enabled: bool | None = None


class Age(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices a list is about, by the time of their newest reading."""

    stale_secs: int | None = None
    """Only those whose newest reading is older, or that have none."""
    offline: bool | None = None

    @property
    def is_asked(self) -> bool:
        """Whether it leaves any device out."""
        return self.stale_secs is not None or self.offline is not None


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device, and when it was last heard of."""

    device: str
    enabled: Annotated[bool, Meta(description="Whether its readings are taken.")]
    tags: dict[str, str]
    created_at: _Moment
    last_seen: Annotated[_Moment | None, Meta(description="The time of its newest reading.")]
    age_ms: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="How old that is.")]
    offline: Annotated[bool, Meta(description="Whether it sent nothing for `devices.offline_after_secs`.")]


class LastSeen(msgspec.Struct, frozen=True):
    """A device and when it was last heard of."""

    device: Device
    last_us: int | None
    """Microseconds since 1970 UTC: the time of its newest reading."""

    def age_us(self, now_us: int) -> int | None:
        """Return how old that is, at least 0."""
        return None if self.last_us is None else max(0, now_us - self.last_us)

    def is_silent(self, secs: int, *, now_us: int) -> bool:
        """Whether there is no reading of the last so many seconds."""
        age_us = self.age_us(now_us)
        return age_us is None or age_us > secs * SECOND_US

    def fits(self, age: Age, *, now_us: int, offline_after_secs: int) -> bool:
        """Whether a list that asks for this shows it."""
        if age.stale_secs is not None and not self.is_silent(age.stale_secs, now_us=now_us):
            return False
        return age.offline is None or age.offline == self.is_silent(offline_after_secs, now_us=now_us)

    def status(self, *, now_us: int, offline_after_secs: int) -> DeviceStatus:
        """Return what the API and the commands say of it."""
        age_us = self.age_us(now_us)
        return DeviceStatus(
            device=self.device.name,
            enabled=self.device.enabled,
            tags=self.device.tags,
            created_at=to_text(self.device.created_at),
            last_seen=None if self.last_us is None else to_rfc3339(self.last_us),
            age_ms=None if age_us is None else age_us // 1000,
            offline=self.is_silent(offline_after_secs, now_us=now_us),
        )


def check_tags(tags: Mapping[str, str | None]) -> None:
    """Raise BadRequest for more than 64 tags, keys and values that are too long, and characters they may not have."""
    if len(tags) > MAX_TAGS:
        raise _too_many_tags(len(tags))
    for key, value in tags.items():
        check_tag_key(key)
        if value is not None and not is_tag_value(value):
            raise BadRequest(
                f"the value of tag {key!r} must be at most {MAX_TAG_VALUE} printable characters", parameter="tags"
            )


def check_tag_key(key: str) -> None:
    """Raise BadRequest unless it can be the key of a tag."""
    if not _TAG_KEY.fullmatch(key):
        raise BadRequest(
            f"tag {key[:MAX_TAG_KEY]!a} must be 1 to {MAX_TAG_KEY} characters of A-Z a-z 0-9 . _ / -", parameter="tags"
        )


def is_tag_value(value: str) -> bool:
    """Whether a tag may have it: no NUL, no half of a surrogate pair, nothing that steers a terminal."""
    return value.isprintable() and len(value) <= MAX_TAG_VALUE


def to_device_filter(*, prefix: str = "", tags: Sequence[str] = (), enabled: bool | None = None) -> DeviceFilter:
    """Read what a list asks for; a tag is `key:value`, or `key` for any value. Raises BadRequest."""
    check_prefix(prefix)
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"tag= stands {len(tags)} times; at most {MAX_TAGS}", parameter="tag")
    exact: dict[str, str] = {}
    keys: list[str] = []
    for text in tags:
        key, colon, value = text.partition(":")
        check_tag_key(key)
        if not colon:
            keys.append(key)
            continue
        if not is_tag_value(value) or exact.setdefault(key, value) != value:
            raise BadRequest(f"no device can have tag={text[:MAX_TAG_VALUE]!a}", parameter="tag")
    return DeviceFilter(prefix=prefix, tags=exact, keys=tuple(dict.fromkeys(keys)), enabled=enabled)


def check_match(etags: Collection[str] | None, device: Device) -> None:
    """Raise PreconditionFailed unless one of the ETags of an If-Match (RFC 9110 13.1.1) is this one.

    None: there is no such header. The comparison is strong: a weak ETag never matches.
    """
    if etags is not None and "*" not in etags and device.etag not in etags:
        raise PreconditionFailed(
            f"device {device.name!r} was changed since you read it; read it again, and send its new ETag as If-Match"
        )


def _too_many_tags(count: int) -> BadRequest:
    return BadRequest(f"{count} tags; a device may have {MAX_TAGS}", parameter="tags", limit="tags", value=MAX_TAGS)
