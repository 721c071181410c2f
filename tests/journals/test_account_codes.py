"""Account codes by rule: which one decides, why, and that what is submitted keeps its own."""

import io

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

from billing import tracing
from billing.models import AuditEvent, FundingSource
from billing.setup import registers
from journals import posting
from journals.account_rules import ACCOUNT_RULES, AccountRulesRefused
from journals.account_trials import try_rule
from journals.models import AccountRule, JournalLine
from tests import build
from tests.build import a_fund, a_source
from tests.journals.made import WHO, drafted, on_chartstrings, submitted

pytestmark = pytest.mark.django_db


def a_charge(billed, **fields):
    """A charge for which nobody names an account code, unless it is given here."""
    return build.a_charge(billed, **{"natural_account": ""} | fields)


def a_rule(**says):
    rule = AccountRule(**says)
    rule.full_clean()
    rule.save()
    return rule


def decided(journal, side="payer"):
    lines = journal.lines.filter(side=side).order_by("number")
    return [(line.natural_account, line.account_by) for line in lines]


# Which one decides ---------------------------------------------------------------------------------------------------


def test_without_rules_the_charge_or_the_source_decides():
    a_charge("100.00", resource_id="a")
    a_charge("50.00", resource_id="b", natural_account="6999")
    journal = drafted().journal
    assert sorted(decided(journal)) == [("6500", "default of AWS"), ("6999", "of its charges")]
    assert decided(journal, "recovery") == [("4900", "default of AWS")] * 2


@pytest.mark.parametrize(
    ("says", "takes"),
    [
        ({"sponsored": "yes"}, {"NSF-1", "NIH-2"}),
        ({"sponsored": "no"}, {"BIO-001", "NEW-9"}),
        ({"fa": "included"}, {"NSF-1"}),
        ({"fa": "excluded"}, {"NIH-2"}),
        ({"fa": "unstated"}, {"BIO-001", "NEW-9"}),
        ({"sponsored": "yes", "fa": "excluded"}, {"NIH-2"}),
        ({"fund_org": "N*"}, {"NSF-1", "NIH-2", "NEW-9"}),
        ({"fund_org": "n?f-*"}, {"NSF-1"}),
    ],
)
def test_a_rule_goes_by_the_fund(says, takes):
    a_fund("NSF-1", is_sponsored=True, fa_treatment="included")
    a_fund("NIH-2", is_sponsored=True, fa_treatment="excluded")
    a_fund("BIO-001")
    for fund_org in ("NSF-1", "NIH-2", "BIO-001", "NEW-9"):
        a_charge("10.00", fund_org=fund_org)
    a_rule(debit_account="6590", **says)
    lines = drafted().journal.lines.filter(side="payer")
    assert {line.fund_org for line in lines if line.natural_account == "6590"} == takes


def test_a_rule_goes_by_source_project_and_service():
    a_charge("1.00", source="aws", project="genome-1", service_name="Cold Storage")
    a_charge("2.00", source="aws", project="physics", service_name="Compute")
    a_charge("4.00", source="hpc", project="genome-2", service_name="Compute")
    a_rule(debit_account="1", source=a_source("hpc"), priority=10)
    a_rule(debit_account="2", project="GENOME*", priority=20)
    a_rule(debit_account="3", service="compute", priority=30)
    by_amount = {str(line.debit): line.natural_account for line in drafted().journal.lines.filter(side="payer")}
    assert by_amount == {"1.0000": "2", "2.0000": "3", "4.0000": "1"}


def test_a_named_code_stays_unless_a_rule_overrides_it():
    a_charge("10.00", natural_account="6510")
    fills = a_rule(debit_account="6590", service="*")
    assert decided(drafted().journal) == [("6510", "of its charges")]
    fills.delete()
    over = a_rule(debit_account="6590", named_account="65*", overrides_named=True)
    assert decided(drafted().journal) == [
        ("6590", f"account rule {over.pk} (named account code 65*), in place of 6510"),
    ]


def test_what_the_first_rule_leaves_empty_the_next_fills_and_no_other():
    a_charge("10.00")
    first = a_rule(debit_account="6590", service="*", priority=1)
    second = a_rule(debit_account="1", recovery_account="4990", service="*", priority=2)
    a_rule(debit_account="2", recovery_account="3", service="*", priority=3)
    journal = drafted().journal
    assert decided(journal) == [("6590", f"account rule {first.pk} (service *)")]
    assert decided(journal, "recovery") == [("4990", f"account rule {second.pk} (service *)")]


def test_a_rule_that_is_switched_off_decides_nothing():
    a_charge("10.00")
    a_rule(debit_account="6590", service="*", is_active=False)
    assert decided(drafted().journal) == [("6500", "default of AWS")]


@pytest.mark.parametrize(
    ("says", "refused"),
    [
        ({"debit_account": "6590"}, "Say what the rule is for"),
        ({"service": "*"}, "Say what the rule sets"),
        ({"named_account": "65*", "debit_account": "6590"}, "has to override them"),
    ],
)
def test_a_rule_that_says_too_little_is_refused(says, refused):
    with pytest.raises(ValidationError, match=refused):
        a_rule(**says)


# What is submitted stays ---------------------------------------------------------------------------------------------


def test_a_rule_changed_after_submission_posts_nothing_and_what_is_credited_goes_back_where_it_was():
    a_source("aws")
    a_fund("NSF-1", is_sponsored=True)
    a_charge("100.00", fund_org="NSF-1", resource_id="a")
    rule = a_rule(debit_account="6590", sponsored="yes")
    first = submitted()
    content = posting.content_of(first)
    assert on_chartstrings(first)["NSF-1", "6590"] == 100

    rule.debit_account = "6600"
    rule.save()
    assert drafted().journal is None
    a_charge("-30.00", fund_org="NSF-1", resource_id="b")
    second = submitted()
    assert on_chartstrings(second) == {("NSF-1", "6590"): -30, ("RC-AWS", "4900"): 30}
    assert decided(second)[0][1].startswith("account rule ")
    a_charge("50.00", fund_org="NSF-1", resource_id="c")
    assert on_chartstrings(submitted())["NSF-1", "6600"] == 50
    assert posting.content_of(first) == content


def test_a_draft_before_the_rule_is_outdated():
    a_charge("10.00")
    journal = drafted().journal
    a_rule(debit_account="6590", service="*")
    with pytest.raises(posting.DraftOutdated):
        posting.submit(journal=journal, format="gl", **WHO)


# Shown ---------------------------------------------------------------------------------------------------------------


def test_the_trace_of_a_line_says_what_decided_its_account_code():
    a_charge("10.00")
    rule = a_rule(debit_account="6590", service="*", recovery_account="4990")
    journal = submitted()
    found = tracing.trace(f"{journal}:1")
    assert f"6590, account rule {rule.pk} (service *)" in found.as_text()


def test_the_page_of_a_journal_says_what_decided_each_account_code(admin_client):
    a_charge("10.00")
    rule = a_rule(debit_account="6590", service="*")
    journal = drafted().journal
    page = admin_client.get(reverse("admin:journals_journal_change", args=[journal.pk]) + "?tab=lines").content.decode()
    assert f"6590<br>account rule {rule.pk} (service *)" in page
    assert "4900<br>default of AWS" in page


def test_a_rule_is_tried_on_the_newest_month():
    a_fund("NSF-1", is_sponsored=True)
    a_charge("10.00", fund_org="NSF-1", resource_id="a", service_name="Compute")
    a_charge("5.00", fund_org="NSF-1", resource_id="b", service_name="Storage")
    a_charge("7.00", fund_org="BIO-001", resource_id="c")
    drafted()
    tried = try_rule(AccountRule(sponsored="yes", debit_account="6590", recovery_account="4900"))
    assert (str(tried.period), tried.fits) == ("January 2025", 2)
    assert [(each.side, each.source, each.before, each.after, each.lines, each.amount) for each in tried.moves] == [
        ("Debit", "aws", "6500", "6590", 2, 15)
    ]
    assert not JournalLine.objects.filter(natural_account="6590").exists()
    assert try_rule(AccountRule(sponsored="yes", debit_account="6590", is_active=False)) is None


def test_the_page_shows_what_a_rule_would_change_before_it_saves_it(admin_client):
    a_charge("10.00")
    drafted()
    url = reverse("admin:journals_accountrule_add")
    sent = {"service": "*", "debit_account": "6590", "priority": "100", "is_active": "on", "seen": ""}
    page = admin_client.post(url, sent)
    assert "Nothing is saved yet." in page.content.decode()
    moved = '<td class="mono" data-label="From">6500</td><td class="mono" data-label="To">6590</td>'
    assert moved in page.content.decode()
    assert not AccountRule.objects.exists()
    (seen,) = [each for each in (page.context["adminform"].form.data["seen"],) if each]
    assert admin_client.post(url, sent | {"seen": seen}).status_code == 302
    rule = AccountRule.objects.get()
    assert AuditEvent.objects.get(action="account_rule.added").object_id == str(rule.pk)
    assert "6590" in admin_client.get(reverse("admin:journals_accountrule_changelist")).content.decode()


# The list of funds ---------------------------------------------------------------------------------------------------


def test_the_list_of_funds_says_the_fa_treatment(tmp_path):
    def load(text):
        path = tmp_path / "funds.csv"
        path.write_text(text)
        with path.open("rb") as file:
            return registers.load(registers.FUNDS, file=file, **WHO)

    load("fund_org,fa\nNSF-1,Included\nNIH-2,excluded\nBIO-001,\n")
    funds = {fund.fund_org: fund.fa_treatment for fund in FundingSource.objects.all()}
    assert funds == {"NSF-1": "included", "NIH-2": "excluded", "BIO-001": ""}
    with pytest.raises(registers.FundsRefused, match="line 2, fa: “MTDC” is none of included, excluded, and not empty"):
        load("fund_org,fa\nNSF-1,MTDC\n")


# As a list -----------------------------------------------------------------------------------------------------------


def loaded(text, **more):
    return registers.load(ACCOUNT_RULES, file=io.BytesIO(text.encode()), **more, **WHO)


def test_rules_are_added_and_changed_by_a_list():
    a_source()
    rule = a_rule(service="*Storage*", debit_account="7100")
    done = loaded(
        "rule,source,sponsored,fa,project,debit_account,overrides_named,recovery_account,note\n"
        f"{rule.pk},,,,,7200,,,Renamed\n"
        ",aws,yes,unstated,genom*,7300,yes,4910,Awards\n"
    )
    assert str(done) == "1 account rule added, 1 changed, 0 stay as they are."
    rule.refresh_from_db()
    assert (rule.service, rule.debit_account, rule.note) == ("*Storage*", "7200", "Renamed")
    added = AccountRule.objects.exclude(pk=rule.pk).get()
    assert (added.source.name, added.sponsored, added.fa, added.project, added.overrides_named) == (
        *("aws", "yes", "unstated", "genom*", True),
    )
    assert (added.priority, added.is_active) == (100, True)
    told = AuditEvent.objects.filter(action__startswith="account_rule.").order_by("pk").values_list("action", flat=True)
    assert list(told) == ["account_rule.added", "account_rule.changed"]


def test_mistakes_in_rules_are_told_by_line_and_column_and_nothing_is_loaded():
    with pytest.raises(AccountRulesRefused) as refused:
        loaded(
            "rule,source,sponsored,project,debit_account,priority\n"
            "9,,,p,1,\n,gcp,,p,1,\n,,perhaps,p,1,\n,,,,1,\n,,,p,,\n,,,p,1,soon\n"
        )
    told = [str(each) for each in refused.value.errors]
    assert told[0] == "line 2, rule: there is no account rule “9”. Leave it empty to add one"
    assert "line 3, source: there is no source “gcp”" in told[1]
    assert told[2] == "line 4, sponsored: “perhaps” is none of yes, no, and not empty"
    assert "line 5: Say what the rule is for" in told[3]
    assert told[4] == "line 6: Say what the rule sets: a debit or a recovery account code."
    assert "line 7, priority" in told[5]
    assert not AccountRule.objects.exists()


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_list_of_rules_goes_out_and_comes_back_the_same(form):
    a_rule(source=a_source(), fund_org="=NSF*", debit_account="007100", note="Two,\nlines")
    a_rule(fa="excluded", recovery_account="4910", is_active=False, priority=5)
    file = io.BytesIO()
    assert registers.write(ACCOUNT_RULES, file=file, form=form, **WHO) == 2
    file.seek(0)
    before = list(AccountRule.objects.values())
    done = registers.load(ACCOUNT_RULES, file=file, **WHO)
    assert (done.added, done.changed, done.unchanged) == (0, 0, 2)
    assert list(AccountRule.objects.values()) == before


def test_rules_are_loaded_on_their_page_after_a_preview(client, cast):
    client.force_login(cast.finance)
    url = reverse("admin:journals_accountrule_load")
    page = client.post(url, {"file": SimpleUploadedFile("rules.csv", b"rule,project,debit_account\n,genom*,7300\n")})
    assert page.context["planned"] == "1 account rule would be added, 0 would be changed, 0 stay as they are."
    assert not AccountRule.objects.exists()
    client.post(url, {"kept": page.context["kept"]})
    assert AccountRule.objects.get().debit_account == "7300"
    out = client.post(reverse("admin:journals_accountrule_export"), {"format": "csv"})
    assert b"genom*" in b"".join(out.streaming_content)


def test_rules_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "rules.csv"
    path.write_text("rule,project,debit_account\n,genom*,7300\n")
    call_command("account_rules", "load", str(path), "--dry-run")
    assert "1 account rule would be added" in capsys.readouterr().out
    call_command("account_rules", "load", str(path))
    call_command("account_rules", "export", "-o", str(tmp_path / "out.csv"))
    assert "genom*" in (tmp_path / "out.csv").read_text()
