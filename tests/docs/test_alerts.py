"""The alerts that are shipped: promtool is content, each is tested and explained, and each names what there is."""

import re
from typing import Any

import prometheus_client
import pytest
import yaml

import gateway.app.worker
import gateway.web.app  # noqa: F401 - with the runtime it knows every metric
from gateway.telemetry.declared import begin_at_zero
from tests.docs.pages import ROOT, text_of
from tests.servers.errors import NoGroundError
from tests.servers.prometheus import promtool
from tests.servers.trixie import Trixie, trixie

FOLDER = ROOT / "deploy" / "prometheus"
PROCESS = {"process_open_fds", "process_max_fds"}


@pytest.fixture(scope="module")
def root() -> Trixie:
    try:
        return trixie()
    except NoGroundError as error:
        pytest.skip(str(error))


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


@pytest.mark.parametrize(
    "command",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")],
    ids=" ".join,
)
def test_promtool_is_content(root: Trixie, command: tuple[str, str, str]) -> None:
    *verbs, file = command
    done = promtool(root, *verbs, FOLDER / file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested() -> None:
    cases = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
    wanted = [
        samples["labels"] for case in cases for test in case["promql_expr_test"] for samples in test["exp_samples"]
    ]
    fired = {name for labels in wanted for name in re.findall(r'alertname="(\w+)"', labels)}
    assert fired == {alert["alert"] for alert in alerts()}


def test_every_alert_is_explained_and_says_where() -> None:
    section = text_of("docs/operations.md").split("\n### Alerts\n")[1].split("\n## ")[0]
    assert re.findall(r"^#### (\w+)$", section, re.MULTILINE) == [alert["alert"] for alert in alerts()]
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/operations.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"]["description"].endswith(".")


def test_every_metric_that_an_alert_names_exists() -> None:
    begin_at_zero()
    known = {sample.name for family in prometheus_client.REGISTRY.collect() for sample in family.samples}
    known |= {rule["record"] for rule in rules() if "record" in rule} | PROCESS
    for rule in rules():
        for name in re.findall(r"\b(?:gateway|process)[_:]\w+", rule["expr"].replace("gateway_readings_(", "(")):
            assert name in known, name
