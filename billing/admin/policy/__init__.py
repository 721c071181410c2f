"""The policy: its versions, and a form whose saving makes the next one."""

from .screen import PolicyAdmin

__all__ = ["PolicyAdmin"]
