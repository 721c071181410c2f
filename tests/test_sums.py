"""Sums of amounts are exact: a walk over every module finds those that would end at 64 bits."""

import ast
import re
from pathlib import Path

import pytest
from django.apps import apps

from billing.fields import AmountField

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("billing", "statements", "journals", "openchargeback", "benchmarks")
SQL_SUM = re.compile(r"\bsum\(\s*(?:coalesce\(\s*)?(?:\w+\.)?(\w+|\{)", re.IGNORECASE)
# Where a sum is made, and the safeguard of journals: its lines add up to a column that 64 bits hold, or it refuses.
KNOWN = ("billing/fields.py", "journals/safeguards.py")
COUNTED = ("row_count", "rows", "charges", "failures_since_start", "size")


def modules() -> list[Path]:
    return [
        path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts
    ]


def amounts() -> set[str]:
    return {field.name for model in apps.get_models() for field in model._meta.fields if isinstance(field, AmountField)}


def short_sums(tree: ast.AST) -> list[str]:
    """Return the sums that are not exact beyond 64 bits, as written."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "Sum" and not (
                node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value in COUNTED
            ):
                found.append(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [match[0] for match in SQL_SUM.finditer(node.value) if match[1] in amounts()]
        elif isinstance(node, ast.JoinedStr):
            text = "".join(str(each.value) if isinstance(each, ast.Constant) else "{" for each in node.values)
            found += [match[0] for match in SQL_SUM.finditer(text) if match[1] == "{" and "SELECT" in text]
    return found


def test_every_sum_of_amounts_is_exact():
    found = {str(path.relative_to(ROOT)): short_sums(ast.parse(path.read_text("utf-8"))) for path in modules()}
    assert {path: sums for path, sums in found.items() if sums and path not in KNOWN} == {}


@pytest.mark.parametrize(
    "code",
    [
        'charges.annotate(sum=Sum("billed_cost"))',
        'charges.annotate(sum=models.Sum(F("billed_cost")))',
        'sql = "SELECT sum(coalesce(o.effective_cost, 0)) FROM billing_charge o"',
        'sql = f"SELECT SUM({column}) FROM billing_charge"',
    ],
)
def test_a_short_sum_is_found(code):
    assert short_sums(ast.parse(code))
