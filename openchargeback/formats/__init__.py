"""How screens write dates, where the code names no format."""
