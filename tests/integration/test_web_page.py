"""The page and its files as a browser gets them: headers, caching, nothing inline, nothing from elsewhere."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.web.pages.files import FOLDER
from tests.integration.web_server import Door, serving

NAMES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = sorted(FOLDER.glob("*.js"))
MAX_LINES = 300
_IMPORT = re.compile(r'^import .* from "\./([\w.]+)";$', re.MULTILINE)
_LINK = re.compile(r'(?:href|src)="(/static/[\w.]+)"')
FORBIDDEN = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function",
    r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.",
    r"https?://(?!www\.w3\.org/2000/svg)",
    r"setAttribute\([^)]*\"style\"",
    r"console\.",
)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with serving() as door:
        door.client.headers.pop("Authorization")
        yield door


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/static/base.css", "/static/mark.svg"])
async def test_what_a_browser_shows_has_the_headers_of_a_page(door: Door, path: str) -> None:
    answer = await door.client.get(path)
    assert answer.status_code == 200
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'",) * 3
    assert (policy["connect-src"], policy["img-src"]) == ("'self'", "'self' data:")
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_every_file_is_kept_and_asked_for_again(door: Door, encoding: str) -> None:
    for name in NAMES:
        path = "/" if name == "index.html" else f"/static/{name}"
        first = await door.client.get(path, headers={"Accept-Encoding": encoding})
        assert (first.status_code, first.headers["cache-control"], first.headers["vary"]) == (
            200,
            "no-cache",
            "accept-encoding",
        )
        assert first.content == (FOLDER / name).read_bytes()
        assert first.headers.get("content-encoding") == ("gzip" if encoding == "gzip" else None)
        again = await door.client.get(
            path, headers={"Accept-Encoding": encoding, "If-None-Match": first.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")


async def test_the_two_forms_have_two_etags(door: Door) -> None:
    tags = {
        (await door.client.get("/", headers={"Accept-Encoding": encoding})).headers["etag"]
        for encoding in ("gzip", "identity")
    }
    assert len(tags) == 2


async def test_media_types_are_those_that_nosniff_wants(door: Door) -> None:
    media = [
        (await door.client.get(path)).headers["content-type"] for path in ("/", "/static/main.js", "/static/base.css")
    ]
    assert media == ["text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8"]


async def test_head_says_the_same_without_the_body(door: Door) -> None:
    answer = await door.client.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "index.html", "..%2fapp.py", "%00", "%ff%fe", "main.js%00", "a" * 500, "%2e%2e"]
)
async def test_there_is_no_other_file(door: Door, name: str) -> None:
    answer = await door.client.get(f"/static/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_page_has_nothing_inline_and_names_only_files_that_are_there() -> None:
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script(?![^>]*src=)", html) == []
    assert {name.removeprefix("/static/") for name in _LINK.findall(html)} <= set(NAMES)


def test_scripts_import_only_each_other_and_all_are_used() -> None:
    used = {"main.js"}
    for path in SCRIPTS:
        imported = set(_IMPORT.findall(path.read_text()))
        assert len(imported) == path.read_text().count("\nimport ") + path.read_text().startswith("import "), path
        assert imported <= set(NAMES), path
        used |= imported
    assert used == {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_says_what_it_is_and_does_nothing_forbidden(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("// ")
    assert text.count("\n") <= MAX_LINES
    for pattern in FORBIDDEN:
        assert not re.search(pattern, text), pattern
