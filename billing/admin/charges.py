"""The screen of charges."""
