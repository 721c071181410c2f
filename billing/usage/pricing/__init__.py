"""Prices for usage: records and a dated rate schedule into exact amounts. Pure: knows no database and no clock."""
