"""Which help belongs to which screen: a page of the documentation, and a heading of it."""

PORTAL = "user-guide/portal"

# Screens that have words of their own, by the name of their address.
SCREENS = {
    "admin:index": "admin-guide/month",
    "admin:dismiss": "admin-guide/month#what-failed",
    "admin:trends": "admin-guide/month#trends",
    "admin:app_list": "admin-guide",
    "admin:search": "admin-guide",
    "admin:billing_billingperiod_carry": "admin-guide/close#what-the-month-needs",
    "admin:billing_billingperiod_proof": "admin-guide/close#the-reconciliation",
    "admin:billing_billingperiod_recount": "admin-guide/close#totals",
    "admin:billing_billingperiod_reapply": "admin-guide/attribution#what-is-there-already",
    "admin:billing_billingperiod_review": "admin-guide#revisions",
    "admin:billing_billingperiod_reopen": "admin-guide/corrections",
    "admin:billing_charge_resource": "admin-guide/why-this-number#a-resource-who-paid-for-it",
    "admin:billing_charge_why": "admin-guide/why-this-number#what-can-be-asked",
    "admin:billing_charge_approve": "admin-guide/review#decisions",
    "admin:billing_charge_correct": "admin-guide/review#decisions",
    "admin:billing_charge_reject": "admin-guide/review#decisions",
    "admin:billing_charge_charge_to_center": "admin-guide/review#decisions",
    "admin:billing_charge_undo": "admin-guide/review#decisions",
    "admin:billing_correction_approve": "admin-guide/corrections#a-second-person",
    "admin:billing_correction_enter": "admin-guide/corrections#enter-one",
    "admin:billing_correction_manual": "admin-guide/corrections#enter-one",
    "admin:billing_correction_reject": "admin-guide/corrections#a-second-person",
    "admin:billing_correction_reverse": "admin-guide/corrections#mistakes-in-corrections",
    "admin:billing_fundingsource_except": "admin-guide#exceptions",
    "admin:billing_fundingsource_revoke": "admin-guide#exceptions",
    "admin:billing_heldcharge_apply": "admin-guide/review#as-a-spreadsheet",
    "admin:billing_heldcharge_decide": "admin-guide/review#decisions",
    "admin:billing_heldcharge_export": "admin-guide/review#as-a-spreadsheet",
    "admin:billing_import_again": "admin-guide/imports#try-again-or-move",
    "admin:billing_import_apply": "admin-guide/imports#when-an-import-lacks-what-was-there",
    "admin:billing_import_apply_keeping": "admin-guide/imports#when-an-import-lacks-what-was-there",
    "admin:billing_import_apply_replacing": "admin-guide/imports#when-an-import-lacks-what-was-there",
    "admin:billing_import_book": "admin-guide/imports#when-the-month-is-closed",
    "admin:billing_import_book_keeping": "admin-guide/imports#when-the-month-is-closed",
    "admin:billing_import_book_replacing": "admin-guide/imports#when-the-month-is-closed",
    "admin:billing_import_dismiss": "admin-guide/imports#when-the-month-is-closed",
    "admin:billing_import_file": "admin-guide/imports#the-page-of-an-import",
    "admin:billing_import_move": "admin-guide/imports#try-again-or-move",
    "admin:billing_import_upload": "admin-guide/imports#importing-on-the-web",
    "admin:billing_person_confirm": "admin-guide#people-nobody-knows",
    "admin:billing_user_password-link": "security/authentication#passwords",
    "admin:journals_journal_change": "admin-guide/journals#the-page-of-a-journal",
    "admin:journals_journal_changelist": "admin-guide/journals#the-list",
    "admin:journals_journal_export": "admin-guide/journals#formats",
    "admin:journals_journal_list": "admin-guide/journals#the-list",
    "admin:journals_journal_redraft": "admin-guide/journals#the-page-of-a-journal",
    "admin:journals_journal_submit": "admin-guide/journals#the-page-of-a-journal",
    "admin:statements_email_message": "admin-guide/email#the-message-as-it-was-sent",
    "admin:statements_email_texts": "admin-guide/email#the-words",
    "admin:statements_email_settle": "admin-guide/email#what-became-of-it",
    "admin:statements_statement_send": "admin-guide/email#before-you-send",
    "admin:statements_statement_changelist": "admin-guide/statements#the-list",
    "admin:statements_statement_export": "admin-guide/statements#export",
    "admin:statements_statement_generate": "admin-guide#revisions",
    "admin:statements_statement_void": "admin-guide#revisions",
    "portal:statements": f"{PORTAL}#your-statements",
    "portal:statement": f"{PORTAL}#what-a-statement-says",
    "portal:line": f"{PORTAL}#the-charges-behind-a-line",
    "portal:projects": f"{PORTAL}#your-projects",
    "portal:project": f"{PORTAL}#your-projects",
    "admin:password_change": f"{PORTAL}#your-account",
    "password_change": f"{PORTAL}#your-account",
    "password_change_done": f"{PORTAL}#your-account",
    "system": "operations#the-system-page",
}

# Every other screen of a model.
MODELS = {
    "auth_group": "security/roles#who-may-do-what",
    "billing_attributionrule": "admin-guide/attribution#attribution-rules",
    "billing_auditevent": "security/audit-log#what-is-recorded",
    "billing_billingperiod": "admin-guide/close",
    "billing_charge": "admin-guide/charges",
    "billing_cloudaccount": "admin-guide/attribution#cloud-accounts",
    "billing_correction": "admin-guide/corrections",
    "billing_department": "admin-guide#departments",
    "billing_exchangerate": "admin-guide/imports#other-currencies",
    "billing_fundingsource": "admin-guide#fundorgs",
    "billing_heldcharge": "admin-guide/review",
    "billing_import": "admin-guide/imports",
    "billing_invoicetotal": "admin-guide/close#the-providers-invoice",
    "billing_job": "operations#jobs",
    "billing_payerline": "admin-guide/attribution#shared-costs",
    "billing_person": "admin-guide#people-and-projects",
    "billing_policy": "admin-guide/policy",
    "billing_project": "admin-guide#people-and-projects",
    "billing_source": "admin-guide/sources",
    "billing_user": "security/authentication#who-is-who",
    "journals_journal": "admin-guide/journals",
    "journals_journaltemplate": "admin-guide/journals#a-format-of-your-own",
    "statements_email": "admin-guide/email#what-became-of-it",
    "statements_statement": "admin-guide/statements#a-statement",
}


def place_of(view_name: str) -> tuple[str, str]:
    """Return the slug and the anchor of the help for a screen, by the name of its address; "" for the index."""
    place = SCREENS.get(view_name)
    if place is None:
        app_and_model = "_".join(view_name.removeprefix("admin:").split("_")[:2])
        place = MODELS.get(app_and_model, "")
    slug, _, anchor = place.partition("#")
    return slug, anchor
