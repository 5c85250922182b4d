"""The database: schema, registry, and where readings become durable."""
