"""OpenChargeback: simple, transparent billing for research computing."""

# The product's version, for `manage.py version`, the pages, the audit log and pyproject.toml.
__version__ = "0.1.0"
