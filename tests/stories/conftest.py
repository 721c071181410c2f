"""Every story ends with the proof: each month of it comes out, as far as it has come."""

import pytest

from billing import proof
from billing.models import BillingPeriod


@pytest.fixture(autouse=True)
def _every_month_comes_out(request):
    marker = request.node.get_closest_marker("django_db")
    is_proved = marker is not None and not marker.kwargs.get("transaction")
    if is_proved:
        # Asked for here, so that the database is still there afterwards.
        request.getfixturevalue("db")
    yield
    for period in BillingPeriod.objects.order_by("month") if is_proved else ():
        proved = proof.prove(period)
        assert proved.reconciles, proved.problems()
