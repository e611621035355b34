"""The tests: every part against its definition."""
