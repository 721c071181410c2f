"""Replay: a period rebuilt from the stored files and the recorded decisions, and held against what is stored."""
