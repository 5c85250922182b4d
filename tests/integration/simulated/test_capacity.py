"""`simulator capacity` on a gateway with a limit."""

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

from tests.fakes.fake_gateway import FakeGateway
from tests.fakes.waiting import until
from tests.integration.simulated.test_command import finish, simulate, start

_FIXED = ("--transport", "http", "--devices", "50", "--hold", "0.2", "--rest", "0", "--p99", "60000")


def limit(gateway: FakeGateway, posts: int) -> None:
    """Have it take so many posts of each run, and answer the others that it is overloaded."""
    taken: Counter[str] = Counter()
    ingest = gateway._ingest

    def guarded(body: bytes) -> Any:
        run = json.loads(body)[0]["device"].rsplit("-", 1)[0]
        if taken[run] >= posts:
            return 503, {"code": "overloaded"}
        taken[run] += 1
        return ingest(body)

    gateway._ingest = guarded  # type: ignore[method-assign]


async def test_help_lists_what_can_be_used_and_nothing_else(tmp_path: Path) -> None:
    code, out, _ = await simulate(tmp_path, "capacity", "--help")
    assert code == 0
    assert not {"--rate", "--seconds", "--run", "--start-ms", "--watch"} & set(out.split())
    assert {"--hold", "--devices", "--mqtt-connections", "--seed", "--give-up", "--url"} <= set(out.split())
    code, _, err = await simulate(tmp_path, "capacity", "--seconds", "5")
    assert (code, "--seconds is not for capacity" in " ".join(err.split())) == (2, True)


async def test_the_command_finds_the_limit_of_a_gateway(tmp_path: Path, gateway: FakeGateway) -> None:
    limit(gateway, 12)  # of 50 readings in 0.2 s: 3,000 a second
    code, out, err = await simulate(
        tmp_path, "capacity", "--url", gateway.url, *_FIXED, "--give-up", "1.5", "--precision", "20",
        "--json", "out.json",
    )  # fmt: skip
    assert code == 0, out + err
    written = json.loads((tmp_path / "out.json").read_text())
    rates = {one["rate"]: not one["broken"] for one in written["trials"]}
    assert rates == {1_000: True, 2_000: True, 4_000: False, 3_000: True, 3_500: False}
    assert (written["held"], written["broke"]) == (3_000, 3_500)
    assert "held for 0.2 s: 3,000 readings/s" in out
    assert "of the attempts failed (http_503), more than 0.1 %" in " ".join(out.split())


async def test_a_gateway_that_holds_nothing_is_exit_1(tmp_path: Path, gateway: FakeGateway) -> None:
    limit(gateway, 0)
    code, out, err = await simulate(
        tmp_path, "capacity", "--url", gateway.url, *_FIXED, "--give-up", "0.1", "--first", "500"
    )
    assert code == 1, out + err
    assert "no rate was held" in out


async def test_a_gateway_that_refuses_it_all_for_good_is_asked_once(tmp_path: Path, gateway: FakeGateway) -> None:
    def refuse(_: bytes) -> tuple[int, dict[str, Any]]:
        return 422, {"code": "unknown_device"}

    gateway._ingest = refuse  # type: ignore[assignment]
    code, out, err = await simulate(tmp_path, "capacity", "--url", gateway.url, *_FIXED)
    assert code == 2, out + err
    assert "nothing is acknowledged at any rate: 422 unknown_device; devices were not registered" in " ".join(
        out.split()
    )
    assert "readings/s broke first" not in out


async def test_interrupted_it_tells_what_it_found_so_far(tmp_path: Path, gateway: FakeGateway) -> None:
    process = await start(
        tmp_path, "capacity", "--url", gateway.url, "--transport", "http", "--hold", "60", "--rest", "0"
    )
    await until(lambda: len(gateway.bodies) >= 3)
    process.send_signal(signal.SIGINT)
    code, out, err = await finish(process)
    assert code == 2, err
    assert "ended early: stopped" in out
