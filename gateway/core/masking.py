"""Masking of passwords: a URL, or a text with URLs in it, as people may read it. Opens and decides nothing."""

import re

MASK = "***"
_PASSWORD = re.compile(r"^((?:[A-Za-z][\w+.-]*://|(?![A-Za-z][\w+.-]*://))[^:@]*:).*@", re.DOTALL)
"""Greedy: in a URL that is torn by a character of its password all of that is masked."""
_IN_QUERY = re.compile(r"([?&](?:password|sslpassword)=)[^&]*", re.IGNORECASE)


def masked(url: str) -> str:
    """Return a URL, also a malformed one, with `***` for its password."""
    return _IN_QUERY.sub(rf"\1{MASK}", _PASSWORD.sub(rf"\1{MASK}@", url))


_IN_TEXT = re.compile(r"((?:[\w+.-]+://)?[^\s:@/]*:)\S*@")


def masked_within(text: str) -> str:
    """Return a text with `***` for the passwords of URLs in it; of malformed ones rather too much than too little."""
    return _IN_TEXT.sub(rf"\1{MASK}@", text)
