"""The screen of layouts: made from a preset, filled in, tried on a journal, released."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing.admin.audited import FrozenAdmin, actor_of
from billing.admin.formatting import badge_column
from billing.admin.links import list_url
from billing.admin.verbs import Verb
from billing.errors import BillingError

from .. import layouts, lookups, writing
from ..formats.layouts import (
    Layout,
    LayoutFormat,
    LayoutNotUnderstood,
    layout_from_text,
    preset_named,
    presets,
    with_choices,
)
from ..formats.sample import sample
from ..models import Journal, JournalLayout

EDIT = "journals.edit_layouts"
State = JournalLayout.State
TONES: dict[Any, str] = {State.DRAFT: "warn", State.RELEASED: "good"}
# Journals that a layout can be tried on, and lines of each that are shown.
JOURNALS, LINES = 20, 12
LARGEST_FILE = 1_000_000

CONDENSE = {
    "payers": (
        "Lines of payers",
        {
            "line": "One for each journal line",
            "chartstring": "One for each fund/org and account code",
            "chartstring_and_reference": "One for each fund/org, account code and statement",
            "chartstring_and_source": "One for each fund/org, account code and source",
        },
    ),
    "recoveries": (
        "Lines of recoveries",
        {"line": "One for each journal line", "source": "One for each source and account code"},
    ),
    "sponsored": (
        "Sponsored funds",
        {"statement": "Keep a line for each statement", "as_others": "Are put together as others are"},
    ),
}


DESCRIPTIONS = {
    "debit": (
        "Description of debits",
        "Text with names in braces, such as {reference} {project} {service}. Empty: as the journal line says.",
    ),
    "credit": ("Description of credits", "Empty: as on debits."),
    "many": ("Description of several", "On lines that stand for several, such as {count} charges {source} {month}."),
}


class AddForm(forms.Form):
    """A name, and what the layout begins as."""

    name = forms.SlugField(max_length=64, help_text="What a journal's format is called, such as kfs.")
    preset = forms.ChoiceField(label="Start from", required=False)
    file = forms.FileField(label="Or a file", required=False, help_text="JSON, as a layout's page hands it out.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["preset"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "A file"), *((each.name, each.layout.title) for each in presets().values())]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        file: Any = data.get("file")
        preset = data.get("preset")
        if bool(file) == bool(preset):
            raise forms.ValidationError("Choose a preset or a file, one of them.")
        if preset:
            data["content"] = preset_named(preset).content
        elif file.size > LARGEST_FILE:
            raise forms.ValidationError("The file is larger than 1 MB. A layout is not.")
        else:
            try:
                data["content"] = file.read().decode()
            except UnicodeDecodeError as error:
                raise forms.ValidationError("The file is no text in UTF-8. Save it as that.") from error
        return data


class CopyForm(forms.Form):
    name = forms.SlugField(max_length=64, help_text="The same: its next version. Another: a layout of its own.")


class TriedForm(forms.Form):
    """A form that changes what a layout says, and shows what that makes of a journal before it is saved."""

    def __init__(self, *args: Any, layout: JournalLayout, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.layout = layout
        self.fields["journal"] = forms.ModelChoiceField(
            Journal.objects.order_by("-id"),
            required=False,
            empty_label="A made-up journal",
            label="Shown on",
            to_field_name="number",
            help_text="“Show what it makes” writes the first lines of this journal, and saves nothing.",
        )


class SettingsForm(TriedForm):
    """The settings of a layout, each a field, which lines it puts together, and its descriptions."""

    def __init__(self, *args: Any, layout: JournalLayout, **kwargs: Any) -> None:
        super().__init__(*args, layout=layout, **kwargs)
        said = layouts.read(layout)
        self.settings = {f"setting_{each.name}": each for each in said.settings}
        for name, each in self.settings.items():
            self.fields[name] = forms.CharField(
                label=each.label,
                required=False,
                max_length=each.width or 200,
                initial=each.value,
                help_text=" ".join(
                    filter(None, (f"Such as {each.example}." if each.example else "", "May be empty." * each.optional))
                ),
            )
        for name, (label, choices) in CONDENSE.items():
            initial = getattr(said.condense, name)
            self.fields[name] = forms.ChoiceField(label=label, choices=list(choices.items()), initial=initial)
        for name, (label, told) in DESCRIPTIONS.items() if said.describing else ():
            self.fields[f"description_{name}"] = forms.CharField(
                label=label,
                required=False,
                max_length=500,
                initial=getattr(said.descriptions, name),
                help_text=f"{told} {_where(said)}" if name == "debit" else told,
                widget=forms.TextInput(attrs={"class": "vTextField mono", "spellcheck": "false"}),
            )
        # What it is tried on stands beside the button that does.
        self.order_fields([name for name in self.fields if name != "journal"])

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        data["settings"] = {each.name: data.get(name, "") for name, each in self.settings.items()}
        data["condense"] = {name: data[name] for name in CONDENSE if name in data}
        data["descriptions"] = {
            name: data[f"description_{name}"] for name in DESCRIPTIONS if f"description_{name}" in data
        }
        try:
            data["content"] = with_choices(
                self.layout.content, data["settings"], data["condense"], data["descriptions"]
            )
        except LayoutNotUnderstood as error:
            self._refuse(error.problems)
        return data

    def _refuse(self, problems: Sequence[str]) -> None:
        """Put what is wrong beside the description that it is about."""
        for each in problems:
            name = next((one for one in DESCRIPTIONS if each.startswith(f"The layout: descriptions, {one}:")), None)
            said = each.removeprefix(f"The layout: descriptions, {name}: ")
            self.add_error(f"description_{name}" if name else None, said[:1].upper() + said[1:])


def _where(layout: Layout) -> str:
    """Say which fields print the descriptions, in how many bytes, and whether they may be cut."""
    said = []
    for each in layout.describing:
        width = f"{each.width} bytes" if each.width else "of any length"
        cut = ", cut where it is longer" if each.may_be_cut else ", and what is longer is an error"
        said.append(f"{each.name} ({width}{cut if each.width else ''})")
    return f"Printed in {'; '.join(said)}."


class ContentForm(TriedForm):
    """All that a layout says, as JSON."""

    content = forms.CharField(
        label="Layout",
        widget=forms.Textarea(attrs={"rows": 30, "class": "vLargeTextField mono", "spellcheck": "false"}),
        strip=False,
        help_text="JSON of the published schema. What is wrong is told by its place.",
    )

    def clean_content(self) -> str:
        # Editors on the web send CRLF.
        content: str = self.cleaned_data["content"].replace("\r\n", "\n")
        try:
            layout_from_text(content)
        except BillingError as error:
            raise forms.ValidationError(str(error).splitlines()) from error
        return content


def tried(layout: JournalLayout, content: str, journal: Journal | None) -> dict[str, Any]:
    """Return how a journal's file begins in what a layout says, or why there is none.

    Settings that are empty are written as their examples, so that one sees what they are for.
    """
    examples = {each.name: each.example for each in layout_from_text(content).empty_settings}
    made = LayoutFormat(layout.name, layout_from_text(with_choices(content, examples)), layout.version)
    document = (
        writing.document_of(journal)
        if journal
        else replace(sample(writing.segment_names()), lookups=lookups.sample_lookups())
    )
    shown = {"tried_on": journal, "by_example": bool(examples)}
    try:
        return shown | {"first_lines": made.preview(document, LINES)}
    except BillingError as error:
        return shown | {"file_problem": str(error)}


def _shown(request: HttpRequest, layout: JournalLayout, form: forms.Form) -> dict[str, Any]:
    """Return what the layout of the form makes of the journal chosen there."""
    found: dict[str, Any] = {"may_show": True, "show_label": "Show what it makes"}
    if form.is_bound and form.is_valid():
        found |= tried(layout, form.cleaned_data["content"], form.cleaned_data["journal"])
    return found


def _given(request: HttpRequest) -> dict[str, Any]:
    return {"actor": actor_of(request), "now": timezone.now()}


def _set_up(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    chosen = {name: data[name] for name in ("settings", "condense", "descriptions")}
    layouts.set_up(layout=layout, **chosen, **_given(request))
    return f"The settings of the layout {layout} are saved. Look at what it makes, then release it."


def _changed(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    layouts.change(layout=layout, content=data["content"], **_given(request))
    return f"The layout {layout} is changed. Look at what it makes, then release it."


def _released(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    layouts.release(layout=layout, **_given(request))
    return f"The layout {layout} is released. Journals can be submitted in the format {layout.name}."


def _retired(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    layouts.retire(layout=layout, **_given(request))
    return f"The layout {layout} is retired. No journal is written in it any more."


def _copied(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    made = layouts.add(name=data["name"], content=layout.content, **_given(request))
    return f"The layout {made} is drafted. It is in the list."


def _discarded(request: HttpRequest, layout: JournalLayout, data: dict[str, Any]) -> str:
    layouts.discard(layout=layout, **_given(request))
    return f"The draft {layout} is deleted."


def _is(*states: State) -> Any:
    return lambda layout: layout.state in states


@admin.register(JournalLayout)
class JournalLayoutAdmin(FrozenAdmin):
    when_empty = "There are no layouts yet. Add one from a preset for your ledger."
    list_display = ("name", "version", badge_column("state", TONES), "title", "created_at", "released_at", "retired_at")
    list_filter = ("state",)
    search_fields = ("name", "title")
    fields = ()
    change_form_template = "admin/journals/journallayout/change_form.html"
    change_list_template = "admin/journals/journallayout/change_list.html"
    verbs = (
        Verb(
            name="settings",
            label="Settings…",
            button="Save settings",
            permission=EDIT,
            run=_set_up,
            form=SettingsForm,
            form_for=lambda layout: {"layout": layout},
            offered=_is(State.DRAFT),
            question="What your institution writes in every journal, which lines are put together in the file, and "
            "what describes them.",
            details="admin/journals/journallayout/tried.html",
            facts=_shown,
        ),
        Verb(
            name="edit",
            label="Edit…",
            button="Save layout",
            permission=EDIT,
            run=_changed,
            form=ContentForm,
            form_for=lambda layout: {"layout": layout},
            offered=_is(State.DRAFT),
            initial=lambda layout: {"content": layout.content},
            details="admin/journals/journallayout/tried.html",
            facts=_shown,
        ),
        Verb(
            name="release",
            label="Release…",
            button="Release layout",
            permission=EDIT,
            run=_released,
            offered=_is(State.DRAFT),
            question=lambda layout: (
                f"Journals can then be submitted in {layout}. It never changes afterwards: a change is a new version. "
                "The version before it is retired."
            ),
            is_primary=True,
        ),
        Verb(
            name="copy",
            label="Copy…",
            button="Copy layout",
            permission=EDIT,
            run=_copied,
            form=CopyForm,
            initial=lambda layout: {"name": layout.name},
            question="A draft that says the same, to be changed and released.",
        ),
        Verb(
            name="retire",
            label="Retire…",
            button="Retire layout",
            permission=EDIT,
            run=_retired,
            offered=_is(State.RELEASED),
            question="No journal is written in it any more. Those submitted in it keep their files.",
            is_dangerous=True,
        ),
        Verb(
            name="discard",
            label="Delete draft…",
            button="Delete draft",
            permission=EDIT,
            run=_discarded,
            offered=_is(State.DRAFT),
            question="The draft is deleted. No journal was submitted in it.",
            is_dangerous=True,
        ),
    )

    def buttons(self, request: HttpRequest, subject: Any) -> list[dict[str, Any]]:
        """Return what can be done, the next step first among equals: settings, while some of them are empty."""
        found = super().buttons(request, subject)
        if layouts.read(subject).empty_settings:
            settings = self.verb_url(self.verbs[0], subject)
            found = [each | {"is_primary": each["url"].startswith(settings)} for each in found]
        return found

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("new/", view(self.new_view), name="journals_journallayout_new"),
            path("<int:layout_id>/json/", view(self.json_view), name="journals_journallayout_json"),
        ]
        return own + super().get_urls()

    def verb_view(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        answer = super().verb_view(request, object_id, verb)
        # A draft that was deleted has no page to go back to.
        is_gone = verb.name == "discard" and isinstance(answer, HttpResponseRedirect)
        if is_gone and not JournalLayout.objects.filter(pk=object_id).exists():
            return HttpResponseRedirect(list_url(JournalLayout))
        return answer

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """Ask for a name and a preset or file, and draft a layout."""

        def run(data: dict[str, Any]) -> tuple[str, Model | None]:
            made = layouts.add(name=data["name"], content=data["content"], **_given(request))
            return f"The layout {made} is drafted. Enter its settings, then release it.", made

        return self.form_view(
            request,
            permission=EDIT,
            title="Add a layout",
            button="Draft layout",
            form_class=AddForm,
            run=run,
            question="How a journal is written for the program that loads it into your ledger.",
        )

    def json_view(self, request: HttpRequest, layout_id: int) -> HttpResponse:
        """Hand out a layout as a file of JSON, to be kept or added elsewhere."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        layout = self.get_object(request, str(layout_id))
        if layout is None:
            raise Http404("There is no such layout.")
        response = HttpResponse(layout.content, content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{layout.name}-{layout.version}.json"'
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        layout = self.get_object(request, object_id)
        context = self._context_of(request, layout) if isinstance(layout, JournalLayout) else {}
        return super().change_view(request, object_id, form_url, context | (extra_context or {}))

    def _context_of(self, request: HttpRequest, layout: JournalLayout) -> dict[str, Any]:
        said = layouts.read(layout)
        journals = Journal.objects.order_by("-id")[:JOURNALS] if request.user.has_perm("journals.view_journal") else []
        asked = request.GET.get("journal", "")
        chosen = next((each for each in journals if each.number == asked), None)
        return {
            "tone": TONES.get(layout.state, ""),
            "said": said,
            "condense": [(CONDENSE[name][0], CONDENSE[name][1][getattr(said.condense, name)]) for name in CONDENSE],
            "descriptions": [(DESCRIPTIONS[name][0], text) for name, text in said.descriptions.by_name.items()],
            "files": [
                (each, [(record, _places(record.fields)) for part in each.parts for record in part.records])
                for each in said.files
            ],
            "journals": journals,
            "json_url": reverse("admin:journals_journallayout_json", args=[layout.pk]),
            "written": layout.journals.count(),
            **tried(layout, layout.content, chosen),
        }


def _places(fields: Any) -> list[tuple[Any, str]]:
    """Return fields with the columns they are in, where all of them have a width: 5–6."""
    found, at = [], 1
    is_fixed = all(each.width for each in fields)
    for each in fields:
        last = at + (each.width or 0) - 1
        found.append((each, (f"{at}" if last == at else f"{at}–{last}") if is_fixed else ""))
        at = last + 1
    return found
