from tests.billing.usage.conftest import tiger

__all__ = ["tiger"]
