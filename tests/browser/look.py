"""What an accessibility checker would ask of a page, as one script: labels, contrast, headings, width. Axe's basics."""

from pathlib import Path
from typing import Any

from tests.browser.tab import Tab

SCRIPT = Path(__file__).with_suffix(".js")
CONTRAST = 4.5
LARGE_CONTRAST = 3.0
"""For text of 24 px, or bold of 18.66 px (WCAG 2.2, 1.4.3)."""


def faults(tab: Tab) -> list[str]:
    """Return what is wrong with what is shown now, in words."""
    script = SCRIPT.read_text(encoding="utf-8")
    found: Any = tab.run(f"{script}\nfaults({{small: {CONTRAST}, large: {LARGE_CONTRAST}}})")
    assert isinstance(found, list)
    return [str(one) for one in found]
