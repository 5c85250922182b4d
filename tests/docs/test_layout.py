"""The house keeps its rules: one class name for one class, few rooms, and a layer for each."""

import ast
import configparser
import re
from collections import Counter
from collections.abc import Iterator

from tests.docs.pages import ROOT


def class_names(package: str = "gateway") -> Iterator[str]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield from (node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))


def test_no_class_name_stands_twice() -> None:
    assert [name for name, count in Counter(class_names()).items() if count > 1] == []


def test_joints_stand_in_one_place() -> None:
    """What rooms ask of each other is in domain; a Protocol elsewhere is for what its own room asks of itself."""
    places = {
        path.relative_to(ROOT / "gateway").as_posix()
        for path in (ROOT / "gateway").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "Protocol" for b in node.bases)
    }
    assert {place for place in places if not place.startswith(("domain/", "web/"))} == {
        "core/clock.py",
        "core/periodic.py",
        "live/reader.py",
        "mqtt/message.py",
        "telemetry/lineage_events.py",
        "timescale/connections/identity.py",
    }


def test_the_root_has_few_rooms() -> None:
    rooms = {path.name for path in (ROOT / "gateway").iterdir() if not path.name.startswith(("__pycache__", "_sql"))}
    assert rooms == {
        *("__init__.py", "__main__.py", "py.typed"),
        *("core", "domain", "telemetry", "ingest", "timescale", "state", "live", "services", "web", "mqtt", "app"),
    }


def test_the_picture_of_the_layers_is_the_contract() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = contract["importlinter:contract:layers"]["layers"].replace("gateway.", "").split("\n")
    drawn = re.search(r"## The layers\n\n```text\n(.*?)\n```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL)
    assert drawn is not None
    assert drawn[1].split("\n") == [layer for layer in layers if layer]


def test_the_simulator_has_a_layer_for_each_room_and_no_class_name_twice() -> None:
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    layers = contract["importlinter:contract:simulator"]["layers"].strip().split("\n")
    named = {room.removeprefix("simulator.") for layer in layers for room in layer.split(" | ")}
    rooms = {path.stem for path in (ROOT / "simulator").iterdir() if not path.name.startswith("__")}
    assert (rooms, len(layers)) == (named, 8)
    assert [name for name, count in Counter(class_names("simulator")).items() if count > 1] == []


def test_a_unit_test_stands_where_its_module_does() -> None:
    unit = ROOT / "tests" / "unit"
    for path in unit.rglob("test_*.py"):
        place = path.parent.relative_to(unit)
        if place.parts[:1] == ("simulator",):
            continue
        room = ROOT / "gateway" / place
        modules = {one.stem for one in room.iterdir()} | {room.name}
        about = path.stem.removeprefix("test_")
        assert any(f"{about}_".startswith(f"{name}_") for name in modules), f"{path}: gateway/{place} has {modules}"
