"""The words of each next step: its command, its link, and what it takes. `doors` fills them in."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """One step's words. `{names}` are filled in from what the step is about."""

    # What follows `manage.py`.
    command: str
    # The link or button on a page, and where it leads: a URL name, its arguments, its query.
    label: str
    page: str
    arguments: tuple[str, ...] = ()
    query: Mapping[str, str] | None = None
    # The heading of the page that says it.
    anchor: str = ""
    # What it takes to do it.
    permission: str = ""


_PERIOD = {"period": "{period}"}

WORDINGS: dict[str, Wording] = {
    "settle_emails": Wording(
        "send_statements --again ID",
        "Look at these e-mails",
        "admin:statements_email_changelist",
        query={"state": "trouble"},
        permission="statements.send_statements",
    ),
    "import_files": Wording(
        "ingest FILE… -p {period}", "Import files", "admin:billing_import_upload", permission="billing.import_charges"
    ),
    # A refused import's files are chosen again there, with what they lacked.
    "import_replacing": Wording(
        "ingest FILE… -s {source} --replace",
        "Look at it again, or import it even so…",
        "admin:billing_import_upload",
        query={"again": "{import}"},
        permission="billing.import_charges",
    ),
    "import_confirmed": Wording(
        "ingest FILE… -s {source} --force",
        "Choose its source, or confirm this one…",
        "admin:billing_import_upload",
        query={"again": "{import}"},
        permission="billing.import_charges",
    ),
    "name_source": Wording(
        "ingest FILE… -s SOURCE",
        "Choose its source…",
        "admin:billing_import_upload",
        query={"again": "{import}"},
        permission="billing.import_charges",
    ),
    "apply_import": Wording(
        "imports apply {import}",
        "Apply import {import}…",
        "admin:billing_import_apply",
        ("{import}",),
        permission="billing.book_import",
    ),
    "book_import": Wording(
        "imports book {import} --to MONTH",
        "Book import {import} as late changes…",
        "admin:billing_import_book",
        ("{import}",),
        permission="billing.book_import",
    ),
    "look_at_import": Wording(
        "imports show {import}",
        "Look at import {import}",
        "admin:billing_import_change",
        ("{import}",),
        permission="billing.view_import",
    ),
    "apply_keeping": Wording(
        "imports apply {import} --keep",
        "Apply import {import}, keep what it lacks…",
        "admin:billing_import_apply_keeping",
        ("{import}",),
        permission="billing.book_import",
    ),
    "book_keeping": Wording(
        "imports book {import} --to MONTH --keep",
        "Book import {import}, keep what it lacks…",
        "admin:billing_import_book_keeping",
        ("{import}",),
        permission="billing.book_import",
    ),
    "dismiss_import": Wording(
        "imports dismiss {import} --reason WHY",
        "Dismiss import {import}…",
        "admin:billing_import_dismiss",
        ("{import}",),
        permission="billing.book_import",
    ),
    "add_source": Wording(
        "sources add {source}",
        "Add a source",
        "admin:billing_source_add",
        query={"name": "{source}"},
        permission="billing.add_source",
    ),
    "change_source": Wording(
        "sources set {source} --help", "Sources", "admin:billing_source_changelist", permission="billing.change_source"
    ),
    "set_feed": Wording(
        "feeds set {feed} --help",
        "Set up the usage feed",
        "admin:billing_usagefeed_changelist",
        query={"q": "{feed}"},
        permission="billing.change_usagefeed",
    ),
    "read_usage": Wording(
        "usage FILE -f {feed}",
        "Read usage…",
        "admin:billing_usagefile_read",
        query={"feed": "{feed_id}"},
        permission="billing.take_usage",
    ),
    "price_usage": Wording(
        "usage -f {feed} -p {period}",
        "Price a month…",
        "admin:billing_usagefeed_price",
        ("{feed_id}",),
        permission="billing.take_usage",
    ),
    "show_priced_month": Wording(
        "feeds show {feed}",
        "Look at the priced month",
        "admin:billing_pricedmonth_change",
        ("{priced}",),
        permission="billing.view_pricedmonth",
    ),
    "list_rates": Wording(
        "rates list",
        "Rate schedules",
        "admin:billing_rateschedule_changelist",
        permission="billing.view_rateschedule",
    ),
    "show_job": Wording(
        "jobs show {job}", "Go to job {job}", "admin:billing_job_change", ("{job}",), permission="billing.view_job"
    ),
    "retry_job": Wording(
        "jobs retry {job}",
        "Retry job {job}…",
        "admin:billing_job_retry",
        ("{job}",),
        permission="billing.retry_job",
    ),
    "review": Wording(
        "review list -p {period}",
        "Review charges",
        "admin:billing_heldcharge_changelist",
        query=_PERIOD,
        permission="billing.review_charges",
    ),
    "answer_questions": Wording(
        "questions list -p {period}",
        "Answer questions",
        "admin:billing_question_changelist",
        query=_PERIOD,
        permission="billing.review_charges",
    ),
    "review_queue": Wording(
        "review list", "Review charges", "admin:billing_heldcharge_changelist", permission="billing.review_charges"
    ),
    "export_review": Wording(
        "review export FILE.xlsx",
        "Export to spreadsheet",
        "admin:billing_heldcharge_export",
        permission="billing.review_charges",
    ),
    "confirm_pis": Wording(
        "people list --unconfirmed",
        "Confirm PIs",
        "admin:billing_person_changelist",
        query={"known": "no"},
        permission="billing.change_person",
    ),
    "own_domains": Wording(
        "people domains DOMAIN",
        "Name your e-mail domains",
        "admin:billing_policy_edit",
        permission="billing.change_policy",
    ),
    "except_fund": Wording(
        "funds except FUND_ORG --valid-until 2025-06-30 --reason WHY",
        "Funds",
        "admin:billing_fundingsource_changelist",
        permission="billing.add_fundexception",
    ),
    "approve_corrections": Wording(
        "corrections list -p {period} --state proposed",
        "Show what waits",
        "admin:billing_correction_changelist",
        query={"period": "{period}", "state__exact": "proposed"},
        permission="billing.approve_correction",
    ),
    "open_period": Wording(
        "periods open {period}",
        "Open the month",
        "admin:billing_billingperiod_changelist",
        permission="billing.open_period",
    ),
    "close_period": Wording(
        "periods close {period}",
        "Close the month",
        "admin:billing_billingperiod_close",
        ("{id}",),
        permission="billing.close_period",
    ),
    "finalize_period": Wording(
        "periods finalize {period}",
        "Finalize the month",
        "admin:billing_billingperiod_finalize",
        ("{id}",),
        permission="billing.finalize_period",
    ),
    "reopen_period": Wording(
        "periods reopen {period} --reason REASON",
        "Reopen the month",
        "admin:billing_billingperiod_reopen",
        ("{id}",),
        permission="billing.reopen_period",
    ),
    "waiting_imports": Wording(
        "imports list -p {period} --deferred",
        "Decide the imports",
        "admin:billing_import_changelist",
        query={"scope_totals__period": "{period}", "state__exact": "deferred"},
        permission="billing.book_import",
    ),
    "show_corrections": Wording(
        "corrections list -p {period}",
        "Show the corrections of {period}",
        "admin:billing_correction_changelist",
        query=_PERIOD,
        permission="billing.view_correction",
    ),
    "issue_statements": Wording(
        "generate -p {period}",
        "Issue statements",
        "admin:statements_statement_generate",
        query=_PERIOD,
        permission="statements.issue_statements",
    ),
    "send_statements": Wording(
        "send_statements -p {period}",
        "Send the e-mails",
        "admin:statements_statement_send",
        query=_PERIOD,
        permission="statements.send_statements",
    ),
    "failed_emails": Wording(
        "send_statements -p {period}",
        "Show these e-mails",
        "admin:statements_email_changelist",
        query={"period": "{period}", "state": "trouble"},
        permission="statements.send_statements",
    ),
    "export_journal": Wording(
        "export_journal -p {period} -f gl",
        "Draft the journal",
        "admin:journals_journal_export",
        query=_PERIOD,
        permission="journals.export_journal",
    ),
    "submit_journal": Wording(
        "export_journal -p {period} -f gl --submit",
        "Submit the journal",
        "admin:journals_journal_submit",
        ("{journal}",),
        permission="journals.submit_journal",
    ),
    "look_at_draft": Wording(
        "export_journal -p {period} -f gl --submit",
        "Look at draft {number}",
        "admin:journals_journal_change",
        ("{journal}",),
        permission="journals.view_journal",
    ),
    "submit_by_another": Wording(
        "journals submit {number} -f gl --as USER",
        "Open the journal",
        "admin:journals_journal_change",
        ("{journal}",),
        permission="journals.view_journal",
    ),
    "draft_again": Wording(
        "export_journal -p {period} -f gl",
        "Draft it again",
        "admin:journals_journal_redraft",
        ("{journal}",),
        permission="journals.export_journal",
    ),
    "accrue_again": Wording(
        "journals accrue {period} --reverse-on {reverse_on}",
        "Draft it again",
        "admin:journals_journal_redraft",
        ("{journal}",),
        permission="journals.export_journal",
    ),
    "show_journals": Wording(
        "journals list -p {period}",
        "Show the journals of the month",
        "admin:journals_journal_changelist",
        query=_PERIOD,
        permission="journals.view_journal",
    ),
    "accounting_calendar": Wording(
        "accounting_calendar list",
        "Open the accounting calendar",
        "admin:journals_accountingperiod_changelist",
        permission="journals.view_accountingperiod",
    ),
    "valid_values": Wording(
        "valid_values show {segment}",
        "Open the list of {segment}",
        "admin:journals_validvaluelist_changelist",
        query={"name": "{segment}"},
        permission="journals.view_validvaluelist",
    ),
    "lookups": Wording(
        "lookups show {table}",
        "Open the lookup table {table}",
        "admin:journals_lookuptable_changelist",
        query={"name": "{table}"},
        permission="journals.view_lookuptable",
    ),
    "preflight": Wording(
        "preflight {number} -f {format}",
        "Open the preflight",
        "admin:journals_journal_change",
        ("{journal}",),
        query={"tab": "preflight"},
        permission="journals.view_journal",
    ),
    "journal_layouts": Wording(
        "journal_layouts list",
        "Open the layouts",
        "admin:journals_journallayout_changelist",
        permission="journals.view_journallayout",
    ),
    "show_fund": Wording(
        "funds list",
        "Show the fund/org",
        "admin:billing_fundingsource_changelist",
        query={"q": "{fund_org}"},
        permission="billing.view_fundingsource",
    ),
    "export_receivables": Wording(
        "export_receivables -p {period}",
        "Draft the invoices",
        "admin:journals_receivablesexport_export",
        query=_PERIOD,
        permission="journals.export_receivables",
    ),
    "submit_receivables": Wording(
        "export_receivables -p {period} --submit",
        "Submit the invoices",
        "admin:journals_receivablesexport_submit",
        ("{export}",),
        permission="journals.submit_receivables",
    ),
    "look_at_invoices": Wording(
        "export_receivables -p {period} --submit",
        "Look at draft {number}",
        "admin:journals_receivablesexport_change",
        ("{export}",),
        permission="journals.view_receivablesexport",
    ),
    "list_receivables": Wording(
        "export_receivables --help",
        "Show the receivables",
        "admin:journals_receivablesexport_changelist",
        permission="journals.view_receivablesexport",
    ),
    # A process of the machine: no page starts it, so the page says how.
    "start_worker": Wording("serve", "How to start it", "help", ("operations",), anchor="the-worker"),
    "list_jobs": Wording("jobs list", "Background jobs", "admin:billing_job_changelist", permission="billing.view_job"),
    "list_emails": Wording(
        "send_statements --help",
        "E-mails",
        "admin:statements_email_changelist",
        permission="statements.view_email",
    ),
    # There is no command that changes the policy: this one says what is wrong with it.
    "change_policy": Wording(
        "check", "Change the policy", "admin:billing_policy_edit", permission="billing.change_policy"
    ),
    "list_journals": Wording(
        "journals list", "Show the journals", "admin:journals_journal_changelist", permission="journals.view_journal"
    ),
    "complete_source": Wording(
        "sources set {source} --recovery-fund-org FUND_ORG --recovery-account ACCOUNT --debit-account ACCOUNT",
        "Complete the source",
        "admin:billing_source_changelist",
        query={"q": "{source}"},
        permission="billing.change_source",
    ),
    "answer_journal": Wording(
        "journals list -p {period}",
        "Record the answer",
        "admin:journals_journal_change",
        ("{journal}",),
        permission="journals.post_journal",
    ),
    "proof": Wording(
        "proof -p {period}",
        "Open the reconciliation",
        "admin:billing_billingperiod_proof",
        ("{id}",),
        permission="billing.view_billingperiod",
    ),
    "enter_rate": Wording(
        "exchange_rates set {period} {currency} RATE",
        "Enter an exchange rate",
        "admin:billing_exchangerate_add",
        permission="billing.add_exchangerate",
    ),
}
