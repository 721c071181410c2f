"""The ledger's answers as a file: how its columns are read, and the page that records them after a preview."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from billing import doors
from billing.admin.audited import BillingAdmin, actor_of
from billing.admin.links import list_url
from billing.errors import BillingError, NoLongerKept
from billing.setup import kept_sheets

from .. import posting
from ..models import AnswerMapping, Journal

POST = "journals.post_journal"
SALT = "answers"


@admin.register(AnswerMapping)
class AnswerMappingAdmin(BillingAdmin):
    when_empty = (
        "There is no form of an answer of the ledger yet. Add one that names the columns of its file. Then "
        "journals are posted and rejected by it."
    )
    list_display = ("name", "journal_column", "document_column", "line_column", "status_column", "reason_column")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name",)}),
        (
            "Columns",
            {
                "fields": ("journal_column", "document_column", "line_column", "status_column", "reason_column"),
                "description": "The headings of the file that your ledger gives out, as its first line has them.",
            },
        ),
        (
            "Words of the status",
            {"fields": ("posted_words", "rejected_words"), "description": "In any case, with commas between."},
        ),
    )


class AnswersForm(forms.Form):
    mapping = forms.ModelChoiceField(
        AnswerMapping.objects.none(), label="Form of the answers", to_field_name="name", empty_label=None
    )
    file = forms.FileField(label="CSV or Excel file", help_text="As your ledger gives it out.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["mapping"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = AnswerMapping.objects.order_by("name")


def answers_view(request: HttpRequest) -> HttpResponse:
    """Take a file of the ledger's answers, show what it says, and record that once confirmed."""
    if not request.user.has_perm(POST):
        raise PermissionDenied
    if request.method == "POST" and "kept" in request.POST:
        return _record(request, request.POST["kept"])
    form = AnswersForm(request.POST, request.FILES) if request.method == "POST" else AnswersForm()
    form.label_suffix = ""
    context: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        mapping, file = form.cleaned_data["mapping"], form.cleaned_data["file"]
        try:
            planned = posting.load_answers(
                file=file, mapping=mapping, is_dry_run=True, actor=actor_of(request), now=timezone.now()
            )
        except BillingError as error:
            form.add_error("file", doors.lines_for_page(error, request.user))
        else:
            token = kept_sheets.token_of(kept_sheets.keep(file), owner=request.user.pk, about=SALT)
            kept = f"{mapping.name}/{token}"
            context = {"planned": str(planned), "examples": planned.examples, "file_name": file.name, "kept": kept}
    add = reverse("admin:journals_answermapping_add")
    context |= {
        **admin.site.each_context(request),
        "title": "Load the ledger's answer",
        "question": "Posts and rejects the journals that the file names. A file with a mistake is not recorded at all.",
        "opts": Journal._meta,
        "form": form,
        "back": list_url(Journal),
        "add_url": "" if AnswerMapping.objects.exists() else add,
    }
    return TemplateResponse(request, "admin/journals/journal/answers.html", context)


def _record(request: HttpRequest, kept: str) -> HttpResponse:
    again = HttpResponseRedirect(reverse("admin:journals_journal_answers"))
    named, _, token = kept.partition("/")
    try:
        name = kept_sheets.name_of(token, owner=request.user.pk, about=SALT)
        mapping = posting.mapping_named(named)
        with kept_sheets.opened(name) as file:
            done = posting.load_answers(file=file, mapping=mapping, actor=actor_of(request), now=timezone.now())
    except NoLongerKept as error:
        messages.error(request, str(error))
        return again
    except BillingError as error:
        messages.error(request, f"{str(error)[:1000]} Choose the file again to see every line.")
        return again
    kept_sheets.drop(name)
    messages.success(request, str(done))
    return HttpResponseRedirect(list_url(Journal))
