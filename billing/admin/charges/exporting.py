"""What the list of charges shows, as a file."""

from ... import charge_sheets
from ...models import Charge, Job
from ..list_exports import ListExport

EXPORT = ListExport(
    model=Charge,
    permission="billing.view_charge",
    kind=Job.Kind.EXPORT,
    nouns=("charge", "charges"),
    write=lambda charges, **options: charge_sheets.write(charges=charges, **options),
)
EXPORT.register()
