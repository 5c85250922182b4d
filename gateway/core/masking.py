"""Masking of passwords: a URL, or a text with URLs in it, as people may read it. Opens and decides nothing."""

import re
from urllib.parse import unquote

MASK = "***"
_PASSWORD = re.compile(r"^((?:[A-Za-z][\w+.-]*://|(?![A-Za-z][\w+.-]*://))[^:]*:).*@", re.DOTALL)
"""Greedy: in a URL that is torn by a character of its user or its password all of that is masked."""
_PARAMETER = re.compile(r"([?&]\s*)([^=&]*)=([^&]*)")
_IN_WORDS = re.compile(r"(password\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|\S)*)", re.IGNORECASE)
"""Of a connection string in words: libpq's other form."""


def masked(url: str) -> str:
    """Return a URL, or a connection string in words, also a malformed one, with `***` for its password."""
    if "://" not in url:
        url = _IN_WORDS.sub(rf"\1{MASK}", url)
    return _PARAMETER.sub(_parameter, _PASSWORD.sub(rf"\1{MASK}@", url))


def _parameter(found: re.Match[str]) -> str:
    """Return a parameter of a URL's query; who reads it decodes its name (RFC 3986 2.1)."""
    before, name, _ = found.groups()
    return f"{before}{name}={MASK}" if unquote(name).strip().lower().endswith("password") else found[0]


_IN_TEXT = re.compile(r"((?:[\w+.-]+://)?[^\s:@/]*:)\S*@")
_PARAMETER_IN_TEXT = re.compile(r"([?&])([^\s=&]*)=([^\s&]*)")


def masked_within(text: str) -> str:
    """Return a text with `***` for the passwords of URLs in it; of malformed ones rather too much than too little."""
    text = _PARAMETER_IN_TEXT.sub(_parameter, _IN_TEXT.sub(rf"\1{MASK}@", text))
    return _IN_WORDS.sub(rf"\1{MASK}", text)
