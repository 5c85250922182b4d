"""Posted bodies in, messages and refusals out, as files: golden/native/<case>/{input.*, given.json, expected.json}.

`given.json` may hold device (the one the address names), received_us, declared_ints, max_readings and media. With
GOLDEN_UPDATE=1 the expectations are written anew; look at every line of the difference before you keep it.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from gateway.core.errors import GatewayError
from gateway.domain.layouts import Layouts
from gateway.domain.model import Decoded, Refusal
from gateway.ingest import wire
from tests.unit.ingest.wire.decoded import RECEIVED_US, resolve, to_messages

CASES = sorted(path for path in (Path(__file__).parents[3] / "golden" / "native").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_body_decodes_as_its_file_says(case: Path) -> None:
    found = _decode(_body(case), _given(case))
    expected = case / "expected.json"
    if os.environ.get("GOLDEN_UPDATE") == "1":
        expected.write_text(_pretty(found))
    assert found == json.loads(expected.read_text())


def test_every_shape_stands_alone_and_in_an_array() -> None:
    names = {case.name for case in CASES}
    assert names >= {f"{shape}_{form}" for shape in SHAPES for form in ("object", "array")}


SHAPES = ("flat", "values", "readings", "columns")


def _body(case: Path) -> bytes:
    (path,) = case.glob("input.*")
    return path.read_bytes()


def _given(case: Path) -> dict[str, Any]:
    path = case / "given.json"
    given: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return given


def _decode(body: bytes, given: dict[str, Any]) -> dict[str, Any]:
    layouts = Layouts()
    layouts.declare_ints(given.get("declared_ints", ()))
    try:
        decoded = wire.decode(
            body,
            given.get("media"),
            layouts,
            device=given.get("device"),
            received_us=given.get("received_us", RECEIVED_US),
            max_readings=given.get("max_readings", 1000),
        )
    except GatewayError as error:
        return {"error": {"status": error.status, "code": error.code, "message": error.message}}
    _check_places(body, decoded)
    return {
        "messages": [
            {"device": m.device, "time_us": m.time_us, "values": {name: list(v) for name, v in m.values.items()}}
            for m in to_messages(decoded.batch, layouts)
        ],
        "refusals": [_plain(refusal) for refusal in decoded.refusals],
    }


def _check_places(body: bytes, decoded: Decoded) -> None:
    document = json.loads(body.decode("utf-8-sig"))
    for refusal in decoded.refusals:
        resolve(document, refusal.path)


def _plain(refusal: Refusal) -> dict[str, Any]:
    fields = refusal.__struct_fields__
    return {name: getattr(refusal, name) for name in fields if getattr(refusal, name) is not None}


def _pretty(found: dict[str, Any]) -> str:
    """One line for each message and refusal, so that a difference can be read."""
    if "error" in found:
        return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    parts = []
    for name, lines in found.items():
        body = ",\n".join(f"  {json.dumps(line, ensure_ascii=False)}" for line in lines)
        parts.append(f' "{name}": [\n{body}\n ]' if lines else f' "{name}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"
