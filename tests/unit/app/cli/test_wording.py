"""What commands say: options, not parameters of the HTTP API."""

import pytest

from gateway.app.cli.wording import in_options
from gateway.core.errors import BadRequest
from gateway.domain.dead_letters import to_dead_letter_filter as letters_wanted
from gateway.domain.devices import to_device_filter as devices_wanted


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"code": "A B"}, "--code 'A B' is no code"),
        ({"source": "?"}, "--source '?' is no source"),
        ({"since": "noon"}, "--since 'noon' is no moment"),
        ({"device": "\0"}, "cannot name a device"),
    ],
)
def test_filters_are_named_as_options(filters: dict[str, str], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        letters_wanted(**filters)
    said = in_options(caught.value.message)
    assert words in said
    assert "=" not in said


def test_tags_are_named_as_options() -> None:
    with pytest.raises(BadRequest) as caught:
        devices_wanted(prefix="", tags=["k:" + "v" * 300], enabled=None)
    assert in_options(caught.value.message).startswith("no device can have --tag ")


def test_the_option_for_the_database_is_named_where_it_was_given() -> None:
    assert in_options("database.url cannot be read", database=True) == "--database cannot be read"
    assert in_options("database.url cannot be read") == "database.url cannot be read"
