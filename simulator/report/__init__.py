"""What a run came to, for people and for programs: screen, JSON, JUnit, a page, and a comparison of two."""
