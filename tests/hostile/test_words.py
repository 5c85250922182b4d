"""What the attacks are made of: packets, frames, verdicts and the command line. No process, no server."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from gateway.mqtt.topics import parse_topic
from tests.hostile import attacks, packets
from tests.hostile.__main__ import arguments, listing, table
from tests.hostile.attack import TABLE, Place, Target
from tests.hostile.sockets import FIN, TEXT, frame, text
from tests.hostile.trial import Outcome


async def test_what_is_published_is_read_again() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(packets.publish("a/b", b"x" * 300, mid=0, answer_on="c", about=b"7") + packets.PINGREQ)
    kind, body = await packets.read(reader)
    assert kind == packets.PUBLISH
    assert packets.correlation(body) == b"7"
    assert body.endswith(b"x" * 300)
    assert await packets.read(reader) == (12, b"")


@pytest.mark.parametrize("size", [0, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_a_length_has_seven_bits_a_byte(size: int) -> None:
    assert sum((byte & 0x7F) << 7 * i for i, byte in enumerate(packets.number(size))) == size


def test_a_frame_says_how_long_it_is() -> None:
    assert text(b"hi") == b"\x81\x82\0\0\0\0hi"
    assert frame(FIN | TEXT, b"x" * 300)[1:4] == b"\xfe\x01\x2c"


def test_a_trouble_is_told_once() -> None:
    target = Target(Place(1, 2, {"device": "t"}), 0.0)
    assert not target.is_over()
    target.begin()
    assert target.is_over()
    for _ in range(3):
        target.expect(that=False, else_say="no")
    assert target.report.troubles == ["no"]
    assert target.bearer("device") == b"Authorization: Bearer t\r\n"


def test_the_table_has_a_line_for_each_family_and_for_what_fell() -> None:
    names = ["slow-heads", "silent", "noise"]
    outcomes = [Outcome(TABLE[name], 2, slower=2.0, during=0.02, rss=2**20) for name in names]
    outcomes[1].troubles.append("no")
    console = Console(width=110, record=True, file=StringIO())
    console.print(table(outcomes))
    said = [line.split() for line in console.export_text().splitlines()]
    assert [line[0] for line in said] == ["attack", "seats", "silent,", "heads", "all"]
    assert said[1][-3:] == ["1", "of", "2"]
    assert said[2][2:5] == ["20", "2.0", "0.00"]


def test_the_list_has_all_of_them() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(listing(list(TABLE.values())))
    assert len(console.export_text().splitlines()) == 1 + len(TABLE)


@pytest.mark.parametrize(
    ("words", "chosen", "workers"),
    [
        (["slow-heads"], ["slow-heads"], [1, 2]),
        (["mqtt", "--workers", "3"], [name for name, one in TABLE.items() if one.who == "neighbour"], [3]),
    ],
)
def test_attacks_are_chosen_by_name_or_by_family(
    monkeypatch: pytest.MonkeyPatch, words: list[str], chosen: list[str], workers: list[int]
) -> None:
    monkeypatch.setattr("sys.argv", ["hostile", *words])
    options = arguments()
    assert [attack.name for attack in options.chosen] == chosen
    assert options.workers == workers


def test_an_attack_that_there_is_not_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["hostile", "slow-heds"])
    with pytest.raises(SystemExit):
        arguments()
    assert "there is no attack 'slow-heds'" in capsys.readouterr().err


def test_neighbours_publish_where_the_gateway_listens() -> None:
    topics = parse_topic("devices/{device}/readings", share="")
    assert topics.device_of(attacks.mqtt.MINE) == "press-1"
