"""Private parts of libraries are used in one file for each, or for each half of Sanic, and nowhere else."""

from tests.builders.private_names import GATEWAY, files, foreign_names

LIBRARIES = {"mqtt/fast_reader.py", "web/server/sanic_http.py", "web/server/sanic_protocol.py"}
"""Each has a test that names what its library must not move."""
DOCUMENTED = {"_asdict", "_exit", "_make", "_replace"}
"""Names that only look private: those of named tuples, and of os."""


def test_no_other_file_uses_what_a_library_keeps_to_itself() -> None:
    used = {str(path.relative_to(GATEWAY)): foreign_names(path) - DOCUMENTED for path in files()}
    assert len(used) > 200
    assert {name for name, names in used.items() if names} == LIBRARIES
