"""Corrections of months that stand: transfers, refunds, write-offs and manual charges."""
