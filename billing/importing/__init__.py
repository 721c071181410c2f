"""Bringing deliveries in: received, read, matched with what is there, and applied at once or not at all."""
