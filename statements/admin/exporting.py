"""What the list of statements shows, as a file."""

from billing.admin.list_exports import ListExport
from billing.models import Job

from .. import list_sheets
from ..models import Statement

EXPORT = ListExport(
    model=Statement,
    permission="statements.view_statement",
    kind=Job.Kind.STATEMENTS,
    nouns=("statement", "statements"),
    write=lambda statements, **options: list_sheets.write(statements=statements, **options),
)
EXPORT.register()
