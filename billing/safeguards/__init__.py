"""Triggers by which the database itself refuses to change what stands."""
