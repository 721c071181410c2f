"""The form that maps the columns of a table: a row for each column, and what is said of all rows.

A mapping may say more than the form has fields for. Such settings are kept as JSON below it, and win over its fields.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms

from ...usage import feeds
from ...usage.readers.cell_moments import DateForm
from ...usage.readers.mapping import MOST_DECIMALS, Clock, DecimalMark, Lasts
from ...usage.readers.previewing import Look
from ...usage.readers.settings import NAME
from ...usage.readers.suggesting import name_of

ROLES = (
    ("", "–"),
    ("When", (("date", "Date, with or without time"), ("time", "Time of day"))),
    ("Until", (("end_date", "End date"), ("end_time", "End time of day"))),
    ("Who and what", (("account", "Account, PI or group"), ("user", "User"), ("resource", "Resource"))),
    ("Counted", (("number", "Quantity"), ("clock", "Hours and minutes (1:30)"))),
    ("Other", (("id", "Id of the row"), ("attribute", "Attribute for rates"))),
)
TEXTS = ("id", "account", "user", "resource")
FIXED = ("account", "user", "resource")
# Columns of records of their own, which have a name.
NAMED = ("attribute", "number", "clock")
TESTS = (("is", "is"), ("begins", "begins with"), ("is_not", "is not"), ("any", "says anything"))
CONDITIONS = {"skip": "Leave out", "free": "Free of charge"}
ROWS_OF_CONDITIONS = 3
SAMPLES = 3
# What is in no column of its own.
ELAPSED = "elapsed_seconds"


@dataclass(frozen=True)
class ColumnRow:
    """A column on the page: its heading, what its first rows say, and its fields."""

    heading: str
    samples: list[str]
    role: Any
    name: Any
    unit: Any
    decimals: Any
    fill: Any


class MappingForm(forms.Form):
    """Which column is what; `settings` is then the mapping as a feed keeps it."""

    dates = forms.CharField(
        label="How dates are written",
        widget=forms.TextInput(attrs={"list": "forms-of-dates", "autocomplete": "off"}),
        help_text=f"One of {', '.join(DateForm)}; or a pattern such as %d-%b-%Y.",
    )
    lasts = forms.ChoiceField(
        label="How long a row without an end is",
        choices=[
            (Lasts.AS_WRITTEN.value, "A date is a day, a time is a moment"),
            (Lasts.DAY.value, "A day"),
            (Lasts.MONTH.value, "A month"),
            (Lasts.MOMENT.value, "A moment"),
        ],
    )
    duration = forms.ChoiceField(label="Column that says how long it took", required=False)
    duration_in = forms.ChoiceField(label="How that is written", choices=[(each.value, each.value) for each in Clock])
    decimal = forms.ChoiceField(
        label="Decimals have", choices=[(DecimalMark.POINT.value, "a point"), (DecimalMark.COMMA.value, "a comma")]
    )
    zone = forms.CharField(
        label="Time zone", required=False, max_length=64, help_text="If not that of the feed. Such as America/Chicago."
    )
    elapsed = forms.BooleanField(label="Count the time from start to end", required=False)
    levels = forms.BooleanField(label="Rows are readings of a level, such as bytes stored", required=False)
    fixed_account = forms.CharField(label="Account of all rows", required=False, max_length=200)
    fixed_user = forms.CharField(label="User of all rows", required=False, max_length=200)
    fixed_resource = forms.CharField(label="Resource of all rows", required=False, max_length=200)
    more = forms.CharField(
        label="More settings (JSON)",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text="What the fields above cannot say. Where both say something, this counts.",
    )

    def __init__(self, look: Look, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.look = look
        self.label_suffix = ""
        self.columns = [(number, heading) for number, heading in enumerate(look.headings) if heading]
        headings = [("", "–"), *((heading, heading) for _, heading in self.columns)]
        self.fields["duration"].choices = headings  # type: ignore[attr-defined]
        for number, heading in self.columns:
            self._add(f"role_{number}", forms.ChoiceField(choices=ROLES), f"What {heading} is")
            self._add(f"name_{number}", forms.CharField(max_length=40), f"Name of {heading}")
            self._add(f"unit_{number}", forms.CharField(max_length=40), f"Unit of {heading}")
            decimals = forms.IntegerField(min_value=0, max_value=MOST_DECIMALS)
            self._add(f"decimals_{number}", decimals, f"Decimals of {heading}")
            self._add(f"fill_{number}", forms.BooleanField(), f"Empty cells of {heading} repeat the one above")
        for kind, number in self._conditions():
            place = f"{CONDITIONS[kind]}, condition {number + 1}"
            self._add(f"{kind}_column_{number}", forms.ChoiceField(choices=headings), f"{place}: column")
            self._add(f"{kind}_test_{number}", forms.ChoiceField(choices=TESTS), f"{place}: test")
            self._add(f"{kind}_texts_{number}", forms.CharField(max_length=400), f"{place}: texts, separated by commas")
            self._add(f"{kind}_reason_{number}", forms.CharField(max_length=100), f"{place}: reason")

    def _add(self, name: str, field: forms.Field, label: str) -> None:
        field.required = False
        field.widget.attrs["aria-label"] = label
        self.fields[name] = field

    @staticmethod
    def _conditions() -> Iterator[tuple[str, int]]:
        for kind in CONDITIONS:
            for number in range(ROWS_OF_CONDITIONS):
                yield kind, number

    # ---- On the page

    def column_rows(self) -> list[ColumnRow]:
        return [
            ColumnRow(
                heading,
                [row[number] for row in self.look.rows if number < len(row) and row[number]][:SAMPLES],
                *(self[f"{field}_{number}"] for field in ("role", "name", "unit", "decimals", "fill")),
            )
            for number, heading in self.columns
        ]

    def condition_groups(self) -> list[tuple[str, list[list[Any]]]]:
        """Return the conditions by what they do, each with its fields."""
        return [
            (
                label,
                [
                    [self[f"{kind}_{field}_{number}"] for field in ("column", "test", "texts", "reason")]
                    for number in range(ROWS_OF_CONDITIONS)
                ],
            )
            for kind, label in CONDITIONS.items()
        ]

    def plain_fields(self) -> list[Any]:
        names = ("dates", "lasts", "duration", "duration_in", "elapsed", "levels", "decimal", "zone")
        return [self[name] for name in (*names, *(f"fixed_{name}" for name in FIXED), "more")]

    # ---- What was entered

    def clean_more(self) -> dict[str, Any]:
        text = self.cleaned_data["more"].strip()
        try:
            return feeds.settings_of_text(text) if text else {}
        except feeds.SettingsNotUnderstood as error:
            raise forms.ValidationError(str(error)) from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for role, what in (("date", "the date"), ("time", "the time"), ("end_date", "the end date")):
            if len(columns := self._with_role(data, role)) > 1:
                self.add_error(None, f"Only one column can be {what}: {', '.join(columns)}.")
        taken: dict[str, str] = {}
        for number, heading in self.columns:
            name = self._name(data, number)
            if data.get(f"name_{number}") and not NAME.fullmatch(name):
                self.add_error(None, f"{heading}: a name has small letters, digits and _, and begins with a letter.")
            if data.get(f"role_{number}") in NAMED and taken.setdefault(name, heading) != heading:
                self.add_error(None, f"{taken[name]} and {heading} have the name {name}. Give one of them another.")
        return data

    def settings(self) -> dict[str, Any]:
        """Return the mapping that was entered, for a form that is valid."""
        return self._of_fields(self.cleaned_data) | self.cleaned_data["more"]

    def _with_role(self, data: Mapping[str, Any], role: str) -> list[str]:
        return [heading for number, heading in self.columns if data.get(f"role_{number}") == role]

    def _of_fields(self, data: Mapping[str, Any]) -> dict[str, Any]:
        starts, ends = self._with_role(data, "date"), self._with_role(data, "end_date")
        times, end_times = self._with_role(data, "time"), self._with_role(data, "end_time")
        mapping: dict[str, Any] = {
            "start": _one_or_several([*starts, *times]),
            "end": _one_or_several([*(ends or starts), *end_times] if ends or end_times else []),
            "duration": {"column": data["duration"], "in": data["duration_in"]} if data.get("duration") else None,
            "measures": self._measures(data),
            "attributes": {
                self._name(data, number): heading
                for number, heading in self.columns
                if data.get(f"role_{number}") == "attribute"
            },
            "fill": [heading for number, heading in self.columns if data.get(f"fill_{number}")],
            "levels": bool(data.get("levels")),
            "sheet": self.look.sheet if len(self.look.sheets) > 1 else "",
        }
        for name in TEXTS:
            fixed = data.get(f"fixed_{name}")
            mapping[name] = _one_or_several(self._with_role(data, name)) or ({"value": fixed} if fixed else None)
        defaults = {"lasts": Lasts.AS_WRITTEN, "decimal": DecimalMark.POINT, "dates": DateForm.ISO, "zone": ""}
        for name, default in defaults.items():
            mapping[name] = data.get(name) if data.get(name) != default else None
        for kind in CONDITIONS:
            mapping[kind] = [found for number in range(ROWS_OF_CONDITIONS) if (found := _condition(data, kind, number))]
        return {name: value for name, value in mapping.items() if value}

    def _name(self, data: Mapping[str, Any], number: int) -> str:
        return data.get(f"name_{number}") or name_of(self.look.headings[number])

    def _measures(self, data: Mapping[str, Any]) -> dict[str, Any]:
        measures: dict[str, Any] = {}
        for number, heading in self.columns:
            name = self._name(data, number)
            if data.get(f"role_{number}") == "clock":
                measures[name] = {"clock": heading}
            elif data.get(f"role_{number}") == "number":
                unit = data.get(f"unit_{number}") or name
                measures[name] = {"column": heading, "unit": unit, "decimals": data.get(f"decimals_{number}") or 0}
        return measures | ({ELAPSED: {"elapsed": True}} if data.get("elapsed") else {})

    # ---- What a mapping fills in

    def initial_of(self, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the fields show for a mapping; what they cannot show is in `more`."""
        roles: dict[str, str] = {}
        start, end = _several(mapping.get("start")), _several(mapping.get("end"))
        roles |= dict(zip(start, ("date", "time"), strict=False))
        # Of an end on the day of the start, the time is a column of its own.
        roles |= {
            column: role for column, role in zip(end, ("end_date", "end_time"), strict=False) if column not in roles
        }
        for name in TEXTS:
            roles |= dict.fromkeys(_several(mapping.get(name)), name)
        data: dict[str, Any] = {f"fixed_{name}": _fixed(mapping.get(name)) for name in FIXED}
        names: dict[str, str] = {}
        for name, column in _items(mapping.get("attributes")):
            if isinstance(column, str):
                roles[column], names[column] = "attribute", name
        quantities: dict[str, Mapping[str, Any]] = {}
        for name, value in _items(mapping.get("measures")):
            said = {"column": value} if isinstance(value, str) else value if isinstance(value, Mapping) else {}
            column = str(said.get("column") or said.get("clock") or "")
            roles[column], names[column], quantities[column] = "clock" if "clock" in said else "number", name, said
            data["elapsed"] = data.get("elapsed") or bool(said.get("elapsed"))
        for number, heading in self.columns:
            said = quantities.get(heading, {})
            data |= {
                f"role_{number}": roles.get(heading, ""),
                f"name_{number}": names.get(heading, ""),
                f"unit_{number}": said.get("unit", ""),
                f"decimals_{number}": said.get("decimals"),
                f"fill_{number}": heading in _several(mapping.get("fill")),
            }
        data |= _plain_initial(mapping) | _conditions_initial(mapping)
        rebuilt = self._of_fields(data)
        more = {name: value for name, value in mapping.items() if value and rebuilt.get(name) != value}
        return data | {"more": json.dumps(more, ensure_ascii=False, indent=1) if more else ""}


def _plain_initial(mapping: Mapping[str, Any]) -> dict[str, Any]:
    length = mapping.get("duration")
    length = length if isinstance(length, Mapping) else {}
    return {
        "dates": mapping.get("dates", DateForm.ISO.value),
        "lasts": mapping.get("lasts", Lasts.AS_WRITTEN.value),
        "decimal": mapping.get("decimal", DecimalMark.POINT.value),
        "zone": mapping.get("zone", ""),
        "levels": mapping.get("levels", False),
        "duration": length.get("column", ""),
        "duration_in": length.get("in", Clock.HOURS.value),
    }


def _conditions_initial(mapping: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for kind in CONDITIONS:
        found = mapping.get(kind)
        for number, each in enumerate(found[:ROWS_OF_CONDITIONS] if isinstance(found, list) else []):
            if isinstance(each, Mapping):
                test = next((name for name, _ in TESTS if name in each), "any")
                data[f"{kind}_column_{number}"] = each.get("column", "")
                data[f"{kind}_test_{number}"] = test
                data[f"{kind}_texts_{number}"] = ", ".join(_several(each.get(test)))
                data[f"{kind}_reason_{number}"] = each.get("reason", "")
    return data


def _condition(data: Mapping[str, Any], kind: str, number: int) -> dict[str, Any] | None:
    column = data.get(f"{kind}_column_{number}")
    if not column:
        return None
    found: dict[str, Any] = {"column": column}
    test = data.get(f"{kind}_test_{number}") or "is"
    if test != "any":
        # Nothing at all is an empty cell.
        found[test] = [text.strip() for text in str(data.get(f"{kind}_texts_{number}") or "").split(",")]
    if reason := data.get(f"{kind}_reason_{number}"):
        found["reason"] = reason
    return found


def _several(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [each for each in found if isinstance(each, str)]


def _one_or_several(columns: list[str]) -> str | list[str]:
    return columns[0] if len(columns) == 1 else columns


def _items(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _fixed(value: Any) -> str:
    return str(value.get("value", "")) if isinstance(value, Mapping) else ""
