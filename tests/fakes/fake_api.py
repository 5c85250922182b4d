"""The rest of a gateway's API in a few lines, as documented: history, registry, keys, dead letters.

Each is a call for `FakeGateway.calls`. Shares no code with either side.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.fake_gateway import FakeGateway, to_text

Reply = tuple[int, dict[str, Any]]


@dataclass
class FakeHistory:
    """GET /v1/devices/{device}/readings, `page` messages at a time."""

    gateway: FakeGateway
    page: int = 3
    asked: list[str] = field(default_factory=list)

    def __call__(self, method: str, target: str, _: bytes) -> Reply | None:
        parts = urlsplit(target)
        head, tail = parts.path.rsplit("/", 1)
        if method != "GET" or tail != "readings" or not head.startswith("/v1/devices/"):
            return None
        self.asked.append(target)
        return self._answer(unquote(head.removeprefix("/v1/devices/")), parse_qs(parts.query))

    def _answer(self, device: str, query: dict[str, list[str]]) -> Reply:
        rows: dict[int, dict[str, Any]] = defaultdict(dict)
        for (name, metric, ts), value in self.gateway.readings.items():
            if name == device and _ms(query["from"][0]) <= ts < _ms(query["to"][0]):
                rows[ts][metric] = value
        if not rows:
            return 404, {"code": "unknown_device"}
        begin = int(query.get("cursor", ["0"])[0])
        some = sorted(rows)[begin : begin + self.page]
        more = begin + self.page < len(rows)
        readings = [{"device": device, "ts": to_text(ts), "values": rows[ts]} for ts in some]
        return 200, {"device": device, "readings": readings, "next_cursor": str(begin + self.page) if more else None}


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000)


@dataclass
class FakeRegistry:
    """Devices and keys; `stuck` are devices that cannot be deleted."""

    devices: dict[str, dict[str, str]] = field(default_factory=dict)
    keys: dict[int, dict[str, Any]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    stuck: set[str] = field(default_factory=set)
    imports: int = 0
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    def __call__(self, method: str, target: str, body: bytes) -> Reply | None:
        path, _, query = target.partition("?")
        match method, path:
            case "POST", "/v1/devices:import":
                return self._import(body)
            case "POST", "/v1/keys":
                number = next(self._ids)
                self.keys[number] = json.loads(body)
                return 201, {"id": number, "token": f"token-{number}", **self.keys[number]}
            case "DELETE", _ if path.startswith("/v1/keys/"):
                del self.keys[int(path.removeprefix("/v1/keys/"))]
                return 204, {}
            case "DELETE", _ if path.startswith("/v1/devices/"):
                assert query == "readings=delete"
                return self._delete(unquote(path.removeprefix("/v1/devices/")))
        return None

    def _import(self, body: bytes) -> Reply:
        lines = [json.loads(line) for line in body.splitlines()]
        assert len(lines) <= 1_000
        self.imports += 1
        self.devices |= {line["device"]: line["tags"] for line in lines}
        return 200, {"created": len(lines), "updated": 0, "unchanged": 0, "refused": 0, "results": []}

    def _delete(self, name: str) -> Reply:
        if name in self.stuck:
            return 409, {"code": "device_has_readings"}
        self.devices.pop(name, None)
        self.deleted.append(name)
        return 204, {}


@dataclass
class FakeLetters:
    """GET /v1/dead-letters, two to a page; `letters` are (device, code)."""

    letters: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200

    def __call__(self, method: str, target: str, _: bytes) -> Reply | None:
        parts = urlsplit(target)
        if (method, parts.path) != ("GET", "/v1/dead-letters"):
            return None
        query = parse_qs(parts.query)
        assert query["source"] == ["mqtt"]
        assert "since" in query
        begin = int(query.get("cursor", ["0"])[0])
        page = [{"device": device, "code": code} for device, code in self.letters[begin : begin + 2]]
        cursor = str(begin + 2) if begin + 2 < len(self.letters) else None
        return self.status, {"dead_letters": page, "next_cursor": cursor}
