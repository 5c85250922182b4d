"""`gateway up --demo` as a newcomer meets it: it comes up, devices move, Ctrl-C leaves nothing, the data stays."""

from pathlib import Path

import pytest

from tests.e2e.local_up import up
from tests.e2e.serving import wait_for
from tests.servers import plain_http


@pytest.mark.slow
def test_it_comes_up_moves_stops_clean_and_keeps_its_data(tmp_path: Path) -> None:
    data, log = tmp_path / "local", tmp_path / "up.log"
    with up(data, log) as first:
        assert (data / "admin.key").stat().st_mode & 0o777 == 0o600
        key = (data / "admin.key").read_text()
        wait_for(lambda: first.newest() != "", lambda: "a demo device reports", secs=20)
        seen = first.newest()
        wait_for(lambda: first.newest() > seen, lambda: "it moves", secs=20)
        posted = plain_http.post(
            f"{first.url}/v1/readings",
            json={"device": "kept", "metric": "t", "value": 1.5},
            headers={"Authorization": f"Bearer {key.strip()}"},
        )
        assert posted.json()["accepted"] == 1
    with up(data, log) as second:
        assert (data / "admin.key").read_text() == key
        assert second.state("kept")["metrics"]["t"]["value"] == 1.5
