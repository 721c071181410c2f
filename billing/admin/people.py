"""PIs, their delegates and aliases, and who of them is known."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from ..attribution import newcomers
from ..models import (
    Customer,
    Membership,
    Person,
    PersonAlias,
)
from ..models.people import Mailboxes
from ..setup import customers, people, registers
from ..texts import long_date
from .audited import actor_of
from .choices import SearchedChoicesMixin
from .departments import DepartmentFilter
from .formatting import badge, count_column
from .lists import RegisterAdmin
from .money import MoneyMixin
from .verbs import Verb


class AliasInline(admin.TabularInline):
    model = PersonAlias
    extra = 0
    verbose_name = "e-mail alias"
    verbose_name_plural = "e-mail aliases"


class DelegateInline(SearchedChoicesMixin, admin.TabularInline):
    model = Membership
    extra = 0
    autocomplete_fields = ("user", "project")
    verbose_name_plural = "delegates"


class KnownFilter(admin.SimpleListFilter):
    title = "confirmation"
    parameter_name = "known"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> list[tuple[str, str]]:
        return [("no", "Not confirmed"), ("yes", "Known or confirmed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Person]) -> QuerySet[Person]:
        match self.value():
            case "no":
                return queryset.filter(pk__in=newcomers.strangers().values("pk"))
            case "yes":
                return queryset.exclude(pk__in=newcomers.strangers().values("pk"))
        return queryset


def _confirm(request: HttpRequest, person: Person, data: dict[str, Any]) -> str:
    return str(people.confirm(people=[person], note=data["note"], actor=actor_of(request), now=timezone.now()))


class NoteForm(forms.Form):
    note = forms.CharField(label="Note", required=False, help_text="How you know, for the audit log.")


class PersonForm(forms.ModelForm):
    def clean_customer(self) -> Customer | None:
        """Raise ValidationError for a customer of a PI whose projects have splits."""
        customer: Customer | None = self.cleaned_data["customer"]
        is_asked = customer and self.instance.pk
        if codes := customers.split_projects(self.instance, on=timezone.localdate()) if is_asked else []:
            raise ValidationError(
                f"{customer} would pay these projects by invoice, and splits share them among fund/orgs: "
                f"{', '.join(codes[:10])}. End the splits first, or choose the customer on single projects."
            )
        return customer


@admin.register(Person)
class PersonAdmin(MoneyMixin, RegisterAdmin):
    register = registers.PEOPLE
    money_by, money_key = "pi", "email"
    form = PersonForm
    when_empty = "There are no PIs yet. They are learned from the tags of charges, or added here."
    list_display = (
        "display_name",
        "email",
        "department",
        count_column("project_number", "projects"),
        "state",
        "known",
        "same_mailbox",
        "user",
    )
    list_filter = (KnownFilter, DepartmentFilter)
    actions = ("confirm",)
    readonly_fields = ("known", "same_mailbox")
    load_title = "Load the list of people"
    load_hint = (
        "A department is named by its code or name, and added where there is none of either. Everybody it names is "
        "known from then on, unless its column “listed” says no. Once a list is loaded, charges of PIs that it does "
        "not name are held."
    )
    verbs = (
        Verb(
            name="confirm",
            label="Confirm this PI…",
            permission="billing.change_person",
            run=_confirm,
            form=NoteForm,
            offered=lambda person: bool(newcomers.unconfirmed([person])),
            question="Confirm this PI once, for all their charges. Charges that were held for "
            "that alone are released, and statements are mailed there.",
            button="Confirm",
            is_primary=True,
        ),
    )
    # Said again: a list with counts keeps no order of the model's, and the pages of a search would run into each other.
    ordering = ("name", "email")
    list_select_related = ("user", "department")
    search_fields = ("name", "email", "aliases__email", "department__code", "department__name")
    autocomplete_fields = ("department", "customer", "successor", "user")
    inlines = (AliasInline, DelegateInline)
    fieldsets = (
        (None, {"fields": ("email", "name", "department", "customer", "contact_email", "known", "same_mailbox")}),
        ("Leaving", {"fields": (("active_until", "successor"),)}),
        ("Sign-in", {"fields": ("user",)}),
    )

    _known = newcomers.Known(False, (), frozenset())
    _sharing: Mapping[str, list[str]] = MappingProxyType({})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Person]:
        # Once for a page, however many PIs it lists.
        self._known = newcomers.known(with_people=False)
        self._sharing = Mailboxes().sharing()
        return super().get_queryset(request).annotate(project_number=Count("projects"))

    @admin.display(description="same mailbox as")
    def same_mailbox(self, person: Person) -> str:
        return ", ".join(self._sharing.get(person.email, ())) or "–"

    def save_model(self, request: HttpRequest, obj: Person, form: Any, change: bool) -> None:
        if not change:
            people.add_by_hand(obj, actor=actor_of(request), now=timezone.now())
        super().save_model(request, obj, form, change)

    def get_readonly_fields(self, request: HttpRequest, obj: Person | None = None) -> tuple[str, ...]:
        return ("known", "same_mailbox") if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Person | None = None) -> Any:
        # Whom somebody adds by hand is confirmed by that.
        first, *others = self.fieldsets
        fields = tuple(name for name in first[1]["fields"] if obj or name not in ("known", "same_mailbox"))
        return [(None, {"fields": fields}), *others]

    @admin.action(description="Confirm these PIs", permissions=["change"])
    def confirm(self, request: HttpRequest, queryset: QuerySet[Person]) -> None:
        done = people.confirm(people=queryset, actor=actor_of(request), now=timezone.now())
        messages.success(request, str(done))

    @admin.display(description="confirmed")
    def known(self, person: Person) -> str:
        said = people.standing_of(person, self._known)
        return badge(said, "warn" if said == people.NOT_CONFIRMED else "", is_long=True)

    @admin.display(description="name", ordering="name")
    def display_name(self, person: Person) -> str:
        return person.display_name

    @admin.display(description="state")
    def state(self, person: Person) -> str:
        today = timezone.localdate()
        if person.active_until and person.active_until < today:
            return badge(f"Left {long_date(person.active_until)}", "warn")
        return badge("Active", "good")
