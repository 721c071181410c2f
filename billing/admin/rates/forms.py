"""A draft of a rate schedule as a form: its first month, its classes, and a group of fields for each rate."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict

from ...models.rates import SLUG
from ...usage.pricing.checks import problems_of
from ...usage.pricing.terms import ClassKind, Combine, Rate, RateClass, Schedule, Scope, Span, Threshold, Tiering
from ...usage.rate_schedules import words
from .fields import MonthField, WordsField

# A browser may send a thousand fields. Longer schedules are changed in a spreadsheet.
MOST_RATES, MOST_CLASSES = 40, 20


def _choices(labels: Mapping[Any, str]) -> list[tuple[str, str]]:
    return [(str(code), label[:1].upper() + label[1:]) for code, label in labels.items()]


def _choice(kind: Any, labels: Mapping[Any, str], usual: Any, **options: Any) -> forms.TypedChoiceField:
    return forms.TypedChoiceField(choices=_choices(labels), coerce=kind, initial=str(usual), **options)


class HeadForm(forms.Form):
    """What a version says of itself."""

    name = forms.CharField(
        label="Schedule", max_length=64, validators=[SLUG], help_text="How usage feeds call it, such as hpc."
    )
    valid_from = MonthField(label="First month", help_text="It prices months from this one on.")
    note = forms.CharField(
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Why it is as it is: approved by whom, after which rate study.",
    )
    # The digest of the draft that is on the page.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, name_is_fixed: bool = False, **options: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **options})
        if name_is_fixed:
            del self.fields["name"]


class RateForm(forms.Form):
    """One rate. What most rates leave as usual is folded."""

    code = forms.CharField(label="Rate", max_length=64, help_text="Its code, such as cpu.")
    service = forms.CharField(max_length=200, help_text="As statements print it.")
    unit = forms.CharField(max_length=200, help_text="Of its price, such as core-hour.")
    free = WordsField(words.number_of, label="Free units", required=False)
    tiers = WordsField(
        words.tiers_of,
        rows=3,
        label="Price or tiers",
        help_text="A number, or a line for each tier: up to 50000: 0.014, and at last above: 0.005",
    )
    counts = WordsField(
        words.counts_of,
        rows=3,
        help_text="A line for each: core-hour of cpu_seconds, or 10 for every GPU-hour of gpu_seconds",
    )
    where = WordsField(
        words.where_of,
        rows=3,
        required=False,
        label="Prices use where",
        help_text="A line for each: partition: gpu*, a100. Empty: all use of the feed.",
    )
    prices = WordsField(
        words.prices_of,
        rows=3,
        required=False,
        label="Prices of classes",
        help_text="Where a class has its own: external: 0.05, or external, up to 5000: 0.05",
    )
    scope = _choice(Scope, words.SCOPES, Scope.PI, label="Use is added up for")
    span = _choice(Span, words.SPANS, Span.MONTH, label="Over")
    tiering = _choice(Tiering, words.TIERINGS, Tiering.GRADUATED, label="Tiers")
    threshold = _choice(Threshold, words.THRESHOLDS, Threshold.QUANTITY, label="Tiers count")
    per = WordsField(words.number_of, required=False, label="Price is for", help_text="So many units. Empty: for one.")
    step = WordsField(
        words.number_of, required=False, label="Started steps of", help_text="Such as 5, per started 5 TB."
    )
    minimum = WordsField(words.number_of, required=False, label="Minimum a month")
    carries_over = forms.BooleanField(required=False, label="Free units that are left are added to the next span")
    combine = _choice(Combine, words.COMBINES, Combine.SUM, label="Several counts are")
    group = forms.CharField(
        required=False, max_length=200, help_text="Of the rates of a group, the first that fits prices a use."
    )
    order = forms.IntegerField(required=False, min_value=0, max_value=2**31 - 1, help_text="In its group.")
    remove = forms.BooleanField(required=False, label="Remove this rate")

    BASIC = ("code", "service", "unit", "free", "tiers", "counts", "where")
    FOLDED = (
        *("prices", "scope", "span", "tiering", "threshold", "per", "step", "minimum", "combine", "group", "order"),
        "carries_over",
    )

    @property
    def basic(self) -> list[forms.BoundField]:
        return [self[name] for name in self.BASIC]

    @property
    def folded(self) -> list[forms.BoundField]:
        return [self[name] for name in self.FOLDED]

    @property
    def is_folded_open(self) -> bool:
        """Whether something of the folded fields is wrong, and has to be seen."""
        return any(name in self.errors for name in self.FOLDED) if self.is_bound else False

    @property
    def called(self) -> str:
        """What the rate is called on the page, "" for a new one."""
        return str(self["code"].value() or "")

    def rate(self) -> Rate:
        """Return the rate that the fields say."""
        data = self.cleaned_data
        usual = {"free": 0, "per": 1, "order": 0}
        given = {name: data[name] for name in ("code", "service", "unit", "tiers", "counts", "scope", "span")}
        given |= {name: data[name] for name in ("tiering", "threshold", "combine", "group", "carries_over")}
        given |= {name: data[name] for name in ("step", "minimum")}
        given |= {name: data[name] for name in usual if data[name] is not None}
        return Rate(when=data["where"] or {}, prices=data["prices"] or {}, **given)


class ClassForm(forms.Form):
    """One rate class."""

    name = forms.CharField(label="Class", max_length=64, validators=[SLUG])
    kind = _choice(ClassKind, words.CLASS_KINDS, ClassKind.INTERNAL)
    percent = WordsField(words.number_of, label="Pays, % of list price", initial="100")
    indirect_percent = WordsField(words.number_of, label="Indirect cost, %", required=False)
    remove = forms.BooleanField(required=False, label="Remove")

    def rate_class(self) -> RateClass:
        """Return the class that the fields say."""
        data = self.cleaned_data
        more = {"indirect_percent": data["indirect_percent"]} if data["indirect_percent"] is not None else {}
        return RateClass(data["name"], data["kind"], data["percent"], **more)


def _formset(form: type[forms.Form], most: int, noun: str) -> Any:
    made = forms.formset_factory(form, extra=0, max_num=most, absolute_max=most + 1, validate_max=True)
    made.default_error_messages = {
        **made.default_error_messages,
        "too_many_forms": f"A form has up to {most} {noun}. Change a longer schedule in a spreadsheet.",
    }
    return made


RateForms = _formset(RateForm, MOST_RATES, "rates")
ClassForms = _formset(ClassForm, MOST_CLASSES, "classes")


class DraftForms:
    """The forms of a draft together: as they are first shown, as they were sent, or with a row more."""

    def __init__(self, head: HeadForm, rates: Any, classes: Any) -> None:
        self.head, self.rates, self.classes = head, rates, classes
        for formset in (rates, classes):
            for place, form in enumerate(formset.forms):
                form.label_suffix = ""
                form.use_required_attribute = False
                if place:
                    # Said beside the first: twenty times the same is read by nobody.
                    for field in form.fields.values():
                        field.help_text = ""

    @classmethod
    def of(cls, schedule: Schedule | None, *, name_is_fixed: bool, initial: Mapping[str, Any]) -> "DraftForms":
        """Return the forms filled in with a schedule; with an empty rate where there is none."""
        rates = RateForms(prefix="rate", initial=[_initial_of(each) for each in schedule.rates] if schedule else [{}])
        of_classes = [_initial_of_class(each) for each in schedule.classes] if schedule else []
        head = HeadForm(name_is_fixed=name_is_fixed, initial=initial)
        return cls(head, rates, ClassForms(prefix="class", initial=of_classes))

    @classmethod
    def sent(cls, data: QueryDict, *, name_is_fixed: bool) -> "DraftForms":
        """Return the forms as they were sent, to be checked."""
        head = HeadForm(data, name_is_fixed=name_is_fixed)
        return cls(head, RateForms(data, prefix="rate"), ClassForms(data, prefix="class"))

    @classmethod
    def longer(cls, data: QueryDict, *, name_is_fixed: bool, rates: int = 0, classes: int = 0) -> "DraftForms":
        """Return the forms as they were sent with so many empty rows more; nothing is checked yet."""
        head = HeadForm(
            name_is_fixed=name_is_fixed, initial={name: data.get(name, "") for name in HeadForm.base_fields}
        )
        return cls(
            head,
            RateForms(prefix="rate", initial=_rows_of(RateForms(data, prefix="rate"), data, RateForm, rates)),
            ClassForms(prefix="class", initial=_rows_of(ClassForms(data, prefix="class"), data, ClassForm, classes)),
        )

    def is_valid(self) -> bool:
        """Tell whether every field and the schedule as a whole can be used; what is wrong is beside it."""
        fields = [self.head.is_valid(), *map(_is_right, (self.rates, self.classes))]
        if not all(fields):
            return False
        return not self._problems()

    def schedule(self) -> Schedule:
        """Return the schedule that the forms say, once they are valid; it has no version yet."""
        return Schedule(
            self.head.cleaned_data.get("name") or "draft",
            0,
            tuple(form.rate() for form in _kept(self.rates)),
            tuple(form.rate_class() for form in _kept(self.classes)),
        )

    def _problems(self) -> list[str]:
        """Return what is wrong with the schedule as a whole, and show each beside the rate or class it is about."""
        problems = problems_of(self.schedule())
        beside = {f"Rate {form.cleaned_data['code']}: ": form for form in _kept(self.rates)}
        beside |= {f"Class {form.cleaned_data['name']}: ": form for form in _kept(self.classes)}
        for problem in problems:
            start = next((each for each in beside if problem.startswith(each)), None)
            form = beside[start] if start else self.head
            form.add_error(None, problem.removeprefix(start or "")[:1].upper() + problem.removeprefix(start or "")[1:])
        return problems

    @property
    def errors(self) -> list[str]:
        """What is wrong with no one field: of the head, and of how many rows there are."""
        of_formsets = [*self.rates.non_form_errors(), *self.classes.non_form_errors()] if self.rates.is_bound else []
        return [*map(str, self.head.non_field_errors()), *map(str, of_formsets)]

    @property
    def has_errors(self) -> bool:
        return self.head.is_bound and not (self.head.is_valid() and _is_right(self.rates) and _is_right(self.classes))


def _kept(formset: Any) -> list[Any]:
    """Return the forms of rows that say something and are not to be removed."""
    return [form for form in formset.forms if _is_row(form)]


def _is_row(form: forms.Form) -> bool:
    return not form.data.get(form.add_prefix("remove")) and bool(form.has_changed() or not form.empty_permitted)


def _is_right(formset: Any) -> bool:
    """Tell whether the rows that stay are right; what is wrong with one that is removed is nobody's concern."""
    if not formset.management_form.is_valid() or formset.non_form_errors():
        return False
    # Each is asked, so that all that is wrong is marked at once.
    found = [form.is_valid() for form in _kept(formset)]
    return all(found)


def _rows_of(formset: Any, data: MultiValueDict[str, str], form: type[forms.Form], more: int) -> list[dict[str, Any]]:
    """Return what was sent of each row, as typed, and so many empty ones."""
    count = formset.total_form_count() if formset.management_form.is_valid() else 0
    rows = [
        {name: data.get(f"{formset.prefix}-{number}-{name}", "") for name in form.base_fields}
        for number in range(count)
    ]
    return [*rows, *({} for _ in range(min(more, formset.max_num - count)))]


def _initial_of(rate: Rate) -> dict[str, Any]:
    numbers = {name: getattr(rate, name) for name in ("free", "per", "step", "minimum")}
    usual = {"free": 0, "per": 1}
    return {
        **{name: getattr(rate, name) for name in ("code", "service", "unit", "group", "carries_over")},
        **{name: str(getattr(rate, name)) for name in ("scope", "span", "tiering", "threshold", "combine")},
        **{
            name: "" if value is None or value == usual.get(name) else words.number_text(value, grouped=True)
            for name, value in numbers.items()
        },
        "order": rate.order or "",
        "tiers": words.tiers_text(rate.tiers),
        "counts": words.counts_text(rate.counts),
        "where": words.where_text(rate.when),
        "prices": words.prices_text(rate.prices),
    }


def _initial_of_class(rate_class: RateClass) -> dict[str, Any]:
    return {
        **asdict(rate_class),
        "kind": str(rate_class.kind),
        "percent": words.number_text(rate_class.percent),
        "indirect_percent": words.number_text(rate_class.indirect_percent) if rate_class.indirect_percent else "",
    }
