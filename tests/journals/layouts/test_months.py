"""Whole months in layouts: the files say what statements and payer lines say, condensed or not, there and back."""

import csv
import datetime
import io
import json
from collections import defaultdict
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing.files import documents
from billing.models import FundingSource, PayerLine
from billing.money import ZERO
from journals import layouts, lookups, posting
from journals.formats.layouts import layout_from_data
from journals.models import AccountRule, Journal
from statements import issuing
from statements.models import Statement
from tests.build import NOW, SOMEBODY, a_charge, a_fund, a_period, a_source
from tests.journals.layouts.made import PRESETS, filled_in, read_back
from tests.journals.layouts.test_presets import read_sides
from tests.journals.made import on_chartstrings, submitted_anyhow

CONDENSES = [
    None,
    {"payers": "chartstring", "recoveries": "source"},
    {"payers": "chartstring_and_reference", "recoveries": "source"},
    {"payers": "chartstring_and_source", "recoveries": "source", "sponsored": "as_others"},
]
CHARGES = st.lists(
    st.tuples(
        st.integers(-50_000, 500_000),
        st.sampled_from(["BIO-001", "CHEM-014", "NSF-7"]),
        st.sampled_from(["aws", "hpc"]),
        st.sampled_from(["ada@u.edu", "grace@u.edu"]),
        st.sampled_from(["Compute", "Storage", '=Odd, "quoted"', "Zoë’s Größe", "محمد"]),
    ),
    min_size=1,
    max_size=6,
)


def charged(charges, period):
    for cents, fund_org, source, pi, service in charges:
        a_charge(
            str(Decimal(cents).scaleb(-2)),
            **{"fund_org": fund_org, "source": source, "pi": pi, "service_name": service, "period": period},
        )


def by_fund(lines):
    sums = defaultdict(lambda: ZERO)
    for fund_org, amount in lines:
        sums[fund_org] += amount
    return {fund_org: amount for fund_org, amount in sums.items() if amount}


class AnyMonth(TestCase):
    """Each example runs in a transaction of its own."""

    @settings(max_examples=24, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHARGES, CHARGES, st.sampled_from(PRESETS), st.sampled_from(CONDENSES))
    def test_files_say_what_statements_say_and_a_reversal_undoes_them(self, charges, more, name, condense):
        now = (NOW + datetime.timedelta(minutes=each) for each in range(1, 100))

        def who():
            return {"actor": SOMEBODY, "now": next(now)}

        period, _ = a_period(), [a_source(each) for each in ("aws", "hpc")]
        a_fund("NSF-7", is_sponsored=True)
        content = json.loads(filled_in(name)) | ({"condense": condense} if condense else {})
        layouts.release(layout=layouts.add(name=name, content=json.dumps(content), **who()), **who())

        charged(charges, "2025-01")
        first = submitted_anyhow(period, name, who)
        charged(more, "2025-01")
        second = submitted_anyhow(period, name, who)

        # What both files say, by fund/org, is what payer lines say, and statements say the same.
        lines = PayerLine.objects.filter(period=period)
        owed = by_fund(lines.values_list("fund_org", "charged"))
        assert by_fund(self.of_files(name, content, first, second)) == owed
        issuing.generate(period=period, **who())
        stated = Statement.objects.filter(period=period).exclude(state="superseded").values_list("charged", flat=True)
        assert sum(stated, ZERO) == sum(owed.values(), ZERO)
        assert FundingSource.objects.get(fund_org="NSF-7").is_sponsored

        if first:
            first = posting.post(journal=first, document_number="1", **who())
            reversal = posting.reverse(journal=first, reason="Wrong.", **who()).reversal
            assert not any(on_chartstrings(first, reversal).values())
            assert not by_fund(self.of_files(name, content, first, reversal))

    @settings(max_examples=24, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHARGES, CHARGES, st.sampled_from(PRESETS), st.sampled_from(CONDENSES))
    def test_with_rules_and_lookups_a_change_posts_its_difference_and_what_is_submitted_stays(
        self, charges, more, name, condense
    ):
        now = (NOW + datetime.timedelta(minutes=each) for each in range(1, 100))

        def who():
            return {"actor": SOMEBODY, "now": next(now)}

        period, _ = a_period(), [a_source(each) for each in ("aws", "hpc")]
        a_fund("NSF-7", is_sponsored=True, fa_treatment="excluded")
        rule = AccountRule.objects.create(fa="excluded", debit_account="6590", recovery_account="4990")
        funds = ("BIO-001", "CHEM-014", "NSF-7", "RC-AWS", "RC-HPC")
        load_tags("W1", funds, who())
        content = json.loads(filled_in(name)) | ({"condense": condense} if condense else {})
        content["descriptions"] = {"debit": "{lookup.tags.tag} {project}", "credit": "{lookup.tags.tag} to {source}"}
        layouts.release(layout=layouts.add(name=name, content=json.dumps(content), **who()), **who())

        charged(charges, "2025-01")
        first = submitted_anyhow(period, name, who)
        before = files_of(first)
        rule.debit_account, rule.fa = "6600", ""
        rule.service = "*"
        rule.save()
        load_tags("W2", funds, who())
        charged(more, "2025-01")
        second = submitted_anyhow(period, name, who)

        # Made again from what is kept, the files of the first say what they said, to the byte.
        for each in before:
            (documents.where(first.file_path).parent / each).unlink()
        assert files_of(first) == before
        lines = PayerLine.objects.filter(period=period)
        owed = by_fund(lines.values_list("fund_org", "charged"))
        assert by_fund(self.of_files(name, content, first, second)) == owed
        for journal, mark in ((first, "W1-"), (second, "W2-")):
            if journal:
                assert_tagged(content, posting.content_of(journal), mark)
                codes = {line.natural_account for line in journal.lines.filter(side="payer", fund_org="NSF-7")}
                assert codes <= ({"6590"} if journal == first else {"6590", "6600"})

    def of_files(self, name, content, *journals):
        """What the files of journals charge each payer's fund/org: the file's own amounts agree with its support."""
        for journal in filter(None, journals):
            journal = Journal.objects.get(pk=journal.pk)
            beside = journal.files_beside.get(name__endswith="-support.csv")
            support = posting.content_of(journal, beside.name).decode()
            rows = list(csv.DictReader(io.StringIO(support, newline="")))
            groups = defaultdict(lambda: [ZERO, ZERO])
            for row in rows:
                groups[int(row["file_line"])][0] += Decimal(row["debit"])
                groups[int(row["file_line"])][1] += Decimal(row["credit"])
            # Each line of the file is what its lines in the support add up to, and nothing is netted.
            sides = read_sides(name, read_back(content, _File(posting.content_of(journal))))
            assert sides == [tuple(groups[number]) for number in sorted(groups)]
            assert all(bool(debit) != bool(credit) for debit, credit in sides)
            assert sum(debit for debit, _ in sides) == sum(credit for _, credit in sides) == journal.debits
            for row in rows:
                if row["side"] == "payer":
                    yield row["fund_org"], Decimal(row["debit"]) - Decimal(row["credit"])


def load_tags(mark, funds, who):
    rows = "".join(f"tags,{fund_org},{mark}-{fund_org}\n" for fund_org in funds)
    lookups.load_lookups(file=io.BytesIO(f"table,fund_org,tag\n{rows}".encode()), **who)


def files_of(journal):
    """All files of a journal by their names."""
    if journal is None:
        return {}
    names = [documents.where(journal.file_path).name, *journal.files_beside.values_list("name", flat=True)]
    return {each: posting.content_of(journal, "" if each == names[0] else each) for each in names}


def assert_tagged(content, written, mark):
    """Each line of a file has a description that begins with what its table had when it was submitted."""
    described = {each.name for each in layout_from_data(content).describing}
    of_lines = {each["name"] for each in _records_of(content) if each["each"] != "journal"}
    texts = [
        values[field]
        for record, values in read_back(content, _File(written))
        for field in described & set(values)
        if record in of_lines and values[field] not in (None, field)
    ]
    assert texts
    assert all(text.startswith(mark) for text in texts), texts


def _records_of(content):
    """Each kind of record that a layout's first file has, on whatever sheet."""
    file = content["files"][0]
    return [record for part in file.get("sheets", [file]) for record in part["records"]]


class _File:
    def __init__(self, content):
        self.content = content
