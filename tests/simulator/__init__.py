"""A seeded simulator of a chain that misbehaves, and an oracle that says what must be indexed."""
