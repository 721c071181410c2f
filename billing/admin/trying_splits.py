"""A split of a project that is not saved, tried on months that have charges of it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from .. import doors
from ..errors import BillingError
from ..models import Project
from ..texts import iso_month, long_month
from ..usage import trying
from .links import change_url
from .rates.trying import tried_or_job
from .splits import shares_in
from .tried_links import ON

LINES = "billing.view_payerline"


class SplitTrialForm(forms.Form):
    """The shares to try, and the months to try them on."""

    shares = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 3, "cols": 28, "placeholder": "BIO-001 60\nCHEM-002 40"}),
        max_length=1_000,
        help_text="A fund/org and its percent per line; together 100.",
    )
    on = forms.MultipleChoiceField(label="Months", widget=forms.CheckboxSelectMultiple, required=False)

    def __init__(self, project: Project, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        months = trying.months_of_project(project)
        field = self.fields[ON]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [
            (iso_month(each.month), f"{long_month(each.month)}, {each.get_status_display().lower()}") for each in months
        ]
        field.initial = [iso_month(each.month) for each in months[:3]]

    def clean_shares(self) -> dict[str, Any]:
        return shares_in(self.cleaned_data["shares"])


class TryingSplitsMixin(admin.ModelAdmin):
    """Tries a split on months of a project."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_split_view)
        return [path("<int:number>/try-split/", view, name="billing_project_try_split"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        context["may_try"] = request.user.has_perm(LINES)
        return super().render_change_form(request, context, *args, **options)

    def try_split_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Show who would pay for the charges of a project if fund/orgs shared them as the form says.

        The worker tries it where the months are large.
        """
        project = Project.objects.select_related("pi__customer", "customer").filter(pk=number).first()
        if not self.has_view_permission(request, project) or not request.user.has_perm(LINES):
            raise PermissionDenied
        if project is None:
            raise Http404("There is no such project.")
        form = SplitTrialForm(project, request.GET if "shares" in request.GET else None, label_suffix="")
        context: dict[str, Any] = {}
        if form.is_bound and form.is_valid():
            months = [trying.month_named(each) for each in form.cleaned_data[ON]]
            try:
                asked = trying.of_split(project=project, shares=form.cleaned_data["shares"], months=months)
                context |= tried_or_job(request, asked, is_wanted=True)
            except BillingError as error:
                context["refused"] = doors.for_page(error, request.user)
        context |= {
            **self.admin_site.each_context(request),
            "title": f"Try a split of {project.code}",
            "opts": self.opts,
            "form": form,
            "original": project,
            "back": change_url(project),
        }
        return TemplateResponse(request, "admin/billing/project/try_split.html", context)
