"""What a refusal repeats of a post is short and can be encoded, whatever was posted."""

import msgspec
import pytest

from gateway.domain.reasons import Reason
from gateway.domain.refusals import refuse

LONG = 100_000


@pytest.mark.parametrize(
    "value",
    [
        "x" * LONG,
        "\ud800" * LONG,
        "\0" * LONG,
        ["x"] * LONG,
        {"x": "x" * LONG},
        10**4000,
        None,
        True,
        1e308,
        "{value}{0}%s",
    ],
    ids=["text", "surrogates", "nul", "array", "object", "integer", "null", "true", "float", "format"],
)
def test_a_refusal_stays_short_and_can_be_sent_whatever_was_posted(value: object) -> None:
    name = value if isinstance(value, str) else "n"
    for reason in Reason:
        refusal = refuse(reason, 7, f"/7/values/{name}", device=name, metric=name, value=value, limit=value)
        assert len(msgspec.json.encode(refusal)) < 4000


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("", ""),
        ("/7/values/größe", "/7/values/größe"),
        ("/7/values/" + "~1" * 128, "/7/values/" + "~1" * 128),
        ("/7/values/" + "x" * 257, "/7/values"),
        ("/7/values/t\ud800", "/7/values"),
        ("/7/values/t\ud800/0", "/7/values"),
        ("/\udfff", ""),
        ("/7/values/t\0", "/7/values/t\0"),
    ],
)
def test_a_pointer_ends_before_a_key_that_cannot_be_repeated(path: str, kept: str) -> None:
    assert refuse(Reason.BAD_VALUE, 7, path).path == kept
