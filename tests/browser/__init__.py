"""A real browser for tests: Debian's Chromium, headless, driven over its DevTools protocol."""
