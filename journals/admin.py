"""The screens of journals: what goes to the ledger, what it answered, and formats of one's own."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import doors
from billing.admin import walk
from billing.admin.audited import BillingAdmin, FrozenAdmin, actor_of
from billing.admin.filters import period_filter, source_filter
from billing.admin.formatting import amount_column, badge_column, count_column
from billing.admin.links import change_url
from billing.admin.verbs import Verb
from billing.errors import BillingError
from billing.models import BillingPeriod, Policy
from billing.money import named
from billing.texts import long_month

from . import posting, writing
from .formats import BUILT_IN, RESERVED, TemplateFailed
from .formats.sample import sample
from .models import Journal, JournalTemplate

State = Journal.State

TONES: dict[str, str] = {
    State.DRAFT: "info",
    State.SUBMITTED: "busy",
    State.POSTED: "good",
    State.REJECTED: "bad",
    State.REVERSED: "warn",
}
LINES_PER_PAGE = 200
REASON = forms.Textarea(attrs={"rows": 3})


def format_choices() -> list[tuple[str, str]]:
    """Return the formats there are, with what each is."""
    built_in = [(name, f"{name}: {each.description}") for name, each in BUILT_IN.items()]
    return built_in + [
        (template.name, f"{template.name}: {template.description}" if template.description else template.name)
        for template in JournalTemplate.objects.order_by("name")
    ]


class FormatForm(forms.Form):
    format = forms.ChoiceField(initial="gl")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["format"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = format_choices()


class MonthField(forms.ModelChoiceField):
    def label_from_instance(self, period: Any) -> str:
        return f"{long_month(period.month)}, {period.get_status_display().lower()}"


class ExportForm(FormatForm):
    period = MonthField(
        BillingPeriod.objects.shown().order_by("-month"),
        to_field_name="month",
        empty_label=None,
        label="Billing period",
    )
    posting_date = forms.DateField(
        required=False,
        help_text="Empty: the last day of the period, or today if that is earlier.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    field_order = ("period", "format", "posting_date")


class SubmitForm(FormatForm):
    """The format of the file that is kept as submitted."""


class PostedForm(forms.Form):
    document_number = forms.CharField(max_length=64, help_text="Under which the ledger posted it.")


class RejectedForm(forms.Form):
    reason = forms.CharField(widget=REASON, help_text="As the ledger gave it; kept with the journal.")


class ReverseForm(forms.Form):
    reason = forms.CharField(widget=REASON, help_text="Kept with the journal.")


def submit(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.submit(journal=journal, format=data["format"], actor=actor_of(request), now=timezone.now())
    if journal.state == State.POSTED:
        return f"Journal {journal} is submitted and counts as posted. Download its file for the ledger."
    return f"Journal {journal} is submitted. Download its file for the ledger, and record the answer here."


def redraft(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    exported = posting.export(
        period=journal.period,
        format=journal.format if journal.format in writing.format_names() else "gl",
        posting_date=journal.posting_date,
        actor=actor_of(request),
        now=timezone.now(),
    )
    if exported.journal is None:
        return f"Nothing is left to journal for {exported.period}: the draft is gone."
    return f"Journal {exported.number} is drafted again from today's charges. Check it, then submit it."


def posted(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.post(
        journal=journal, document_number=data["document_number"], actor=actor_of(request), now=timezone.now()
    )
    return f"Journal {journal} is posted as document {journal.document_number}."


def rejected(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    journal = posting.reject(journal=journal, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Journal {journal} is rejected. What it held is in the next draft of {journal.period}."


def reverse_(request: HttpRequest, journal: Journal, data: dict[str, Any]) -> str:
    done = posting.reverse(journal=journal, reason=data["reason"], actor=actor_of(request), now=timezone.now())
    return f"Journal {done.journal} is reversed by {done.reversal}. What it held is in the next draft."


@admin.register(Journal)
class JournalAdmin(FrozenAdmin):
    when_empty = "There are no journals yet. Export one for a month."
    list_display = (
        "number",
        "period",
        badge_column("state", TONES),
        "kind",
        "posting_date",
        count_column("line_count", "lines"),
        amount_column("debits"),
        amount_column("credits"),
        "document_number",
        "submitted_at",
    )
    list_filter = (period_filter("period"), "state", "kind", source_filter("lines__source_name"))
    list_select_related = ("period",)
    search_fields = ("number", "document_number", "lines__reference_1", "lines__reference_2")
    search_help_text = "Number, document number, grant number or request id"
    sortable_by = ("number", "posting_date", "submitted_at")
    fields = ()
    change_form_template = "admin/journals/journal/change_form.html"
    change_list_template = "admin/journals/journal/change_list.html"
    verbs = (
        Verb(
            name="submit",
            label="Submit…",
            button="Submit journal",
            permission="journals.submit_journal",
            run=submit,
            form=SubmitForm,
            offered=lambda journal: journal.state == State.DRAFT,
            question=lambda journal: (
                f"The {journal.line_count:,} lines of {journal}, {named(journal.debits, journal.currency)} of debits "
                "and of credits, are frozen and its file is kept. Later changes go into the next journal."
            ),
            is_primary=True,
        ),
        Verb(
            name="redraft",
            label="Draft again…",
            button="Draft again",
            permission="journals.export_journal",
            run=redraft,
            offered=lambda journal: journal.state == State.DRAFT,
            question=lambda journal: (
                f"{journal} is drafted from today's charges and accounting, in place of what it holds now."
            ),
        ),
        Verb(
            name="posted",
            label="Posted…",
            button="Record as posted",
            permission="journals.post_journal",
            run=posted,
            form=PostedForm,
            offered=lambda journal: journal.state == State.SUBMITTED,
            question="The ledger took the journal. Where it refused it, record that on the journal's own page.",
            is_primary=True,
        ),
        Verb(
            name="rejected",
            label="Rejected…",
            button="Record as rejected",
            permission="journals.post_journal",
            run=rejected,
            form=RejectedForm,
            offered=lambda journal: journal.state == State.SUBMITTED,
            question="The ledger refused the journal. What it held goes into the next draft.",
            is_dangerous=True,
        ),
        Verb(
            name="reverse",
            label="Reverse…",
            button="Reverse journal",
            permission="journals.post_journal",
            run=reverse_,
            form=ReverseForm,
            offered=lambda journal: journal.state == State.POSTED and journal.kind == Journal.Kind.JOURNAL,
            question=lambda journal: (
                f"A journal of the opposite lines reverses {journal}, document "
                f"{journal.document_number or '(none recorded)'}. What it held goes into the next draft."
            ),
            is_dangerous=True,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Journal]:
        return super().get_queryset(request).select_related("period", "reverses", "submitted_by")

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("export/", self.admin_site.admin_view(self.export_view), name="journals_journal_export"),
            path(
                "<int:journal_id>/file/",
                self.admin_site.admin_view(self.file_view),
                name="journals_journal_file",
            ),
        ]
        return own + super().get_urls()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        journal = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if journal:
            lines = Paginator(journal.lines.order_by("number"), LINES_PER_PAGE)
            context = {
                "tone": TONES.get(journal.state, ""),
                "page": lines.get_page(request.GET.get("page")),
                "reversals": list(journal.reversals.order_by("id")),
                "may_download": request.user.has_perm("journals.export_journal") and bool(journal.file_path),
            }
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def file_view(self, request: HttpRequest, journal_id: int) -> HttpResponse:
        """Hand out a journal's file, and record who took it."""
        if not request.user.has_perm("journals.export_journal"):
            raise PermissionDenied
        journal = self.get_object(request, str(journal_id))
        if journal is None:
            raise Http404("There is no such journal.")
        try:
            file = posting.download(journal=journal, actor=actor_of(request), now=timezone.now())
        except BillingError as error:
            messages.error(request, doors.for_page(error, request.user))
            return HttpResponseRedirect(change_url(journal))
        # Never shown in the browser: what is in it came from outside.
        response = HttpResponse(file.content, content_type="application/octet-stream")
        response["Content-Disposition"] = f'attachment; filename="{file.name}"'
        return response

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Show what a period has to journal, with its problems, and make the draft."""
        if not request.user.has_perm("journals.export_journal"):
            raise PermissionDenied
        asked = (request.POST if request.method == "POST" else request.GET).copy()
        # A link from the dashboard names the period only.
        asked.setdefault("format", "gl")
        form = ExportForm(asked if "period" in asked else None)
        seen = None
        if form.is_bound and form.is_valid():
            data = form.cleaned_data
            try:
                if request.method == "POST":
                    return self._exported(request, data)
                seen = posting.preview(
                    period=data["period"],
                    format=data["format"],
                    posting_date=data["posting_date"],
                    now=timezone.now(),
                )
            except BillingError as error:
                form.add_error(None, doors.for_page(error, request.user))
        back = reverse("admin:journals_journal_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": "Export journal",
            "opts": self.opts,
            "form": form,
            "seen": seen,
            "is_walking": walk.is_walking(request),
            "back": back,
            "leave": walk.left(request, form.cleaned_data["period"], otherwise=back) if form.is_valid() else back,
        }
        return TemplateResponse(request, "admin/journals/journal/export.html", context)

    def _exported(self, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        exported = posting.export(
            period=data["period"],
            format=data["format"],
            posting_date=data["posting_date"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        if exported.journal is None:
            messages.info(request, f"Nothing to journal for {exported.period}: all of it is on a live journal already.")
            return HttpResponseRedirect(reverse("admin:journals_journal_changelist"))
        messages.success(
            request, f"Draft of journal {exported.number} is written as {exported.format}. Check it, then submit it."
        )
        return HttpResponseRedirect(walk.after(request, data["period"], otherwise=change_url(exported.journal)))


class JournalTemplateForm(forms.ModelForm):
    class Meta:
        model = JournalTemplate
        fields = ("name", "description", "extension", "is_csv", "header", "line", "footer")
        widgets = {
            part: forms.Textarea(attrs={"rows": rows, "class": "vLargeTextField mono", "spellcheck": "false"})
            for part, rows in (("header", 3), ("line", 6), ("footer", 3))
        }

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name in RESERVED:
            raise forms.ValidationError(f"“{name}” is a format of the program's own. Choose another name.")
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("line"):
            # What is shown to be read (the preview) is among the form's Meta.fields, but no value.
            template = JournalTemplate(**{name: data[name] for name in self.fields if name in data})
            try:
                writing.as_format(template).write(sample(writing.segment_names(), Policy.objects.current().currency))
            except TemplateFailed as error:
                raise forms.ValidationError(doors.for_page(error)) from error
        return data


@admin.register(JournalTemplate)
class JournalTemplateAdmin(BillingAdmin):
    when_empty = "There are no templates yet. One writes journals in the format of your own ledger."
    form = JournalTemplateForm
    list_display = ("name", "description", "extension", "is_csv")
    search_fields = ("name", "description")
    fieldsets = (
        (None, {"fields": ("name", "description", "extension", "is_csv")}),
        (
            "Texts",
            {
                "fields": ("header", "line", "footer"),
                "description": "Values are in double braces, such as {{ line.fund_org }} or {{ journal.number }}. "
                "An unknown name is refused, with a list of those that exist. Filters: cents, absolute, date, "
                "left, pad, zeros, upper, lower, cut, default. Conditions: {% if line.debit %}…{% endif %}.",
            },
        ),
        ("Preview", {"fields": ("preview",)}),
    )
    readonly_fields = ("preview",)

    @admin.display(description="on a sample of two pairs")
    def preview(self, template: JournalTemplate) -> str | SafeString:
        if not template.line:
            return "Save the template to see what it makes of a sample."
        try:
            written = writing.as_format(template).write(
                sample(writing.segment_names(), Policy.objects.current().currency)
            )
        except TemplateFailed as error:
            return doors.for_page(error)
        return format_html("<pre>{}</pre>", written.content.decode())
