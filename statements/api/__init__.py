"""The read-only API: statements, lines, charges and usage as JSON, for programs that hold a token."""
