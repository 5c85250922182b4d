"""What most people would write instead: FastAPI, pydantic, asyncpg. It runs in an environment of its own."""
