"""Somebody at the fleet page: signs in, goes to a view, reads."""

from tests.browser.tab import Tab


def sign_in(tab: Tab, url: str, key: str) -> None:
    """Open the page and enter a key; returns when the overview is there."""
    offer(tab, url, key)
    tab.until("!!document.querySelector('.cards')")


def offer(tab: Tab, url: str, key: str) -> None:
    """Open the page, type a key and press Enter."""
    tab.go(url)
    tab.until("document.activeElement?.id === 'key'")
    tab.type(key)
    tab.press("Enter")


def visit(tab: Tab, view: str) -> None:
    """Follow a link to a view, such as `devices/d1`; the key stays in memory."""
    tab.run(f"location.hash = '#/{view}'")
    tab.until("!!document.querySelector('main h1')")
