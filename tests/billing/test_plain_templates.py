"""Templates that staff write, attacked: by names, by tags, by size and by time, in letters and in journals."""

import time

import pytest
from django.template import Engine, TemplateSyntaxError

from billing.plain_templates import CHARACTERS, PlainContext, PlainTemplate, TooMuch, VariableDoesNotExist
from journals.formats import TemplateFailed, TemplateFormat
from journals.formats.sample import sample
from statements import emails
from statements.emails import letter_tags, letters

ENGINE = Engine(libraries={})
ENGINE.template_builtins = [letter_tags.register]


class Guarded:
    """Something with a secret, such as a model or a settings object would be."""

    secret = "the secret"  # noqa: S105

    def method(self) -> str:
        return self.secret


VALUES = {
    "text": "x" * 1_000,
    "rows": tuple({"name": f"row {number}", "amount": "1.00"} for number in range(500)),
    "thing": Guarded(),
    "kept": {"first": ("one", "two")},
}


def render(source: str) -> str:
    return PlainTemplate(source, engine=ENGINE).render(PlainContext(VALUES))


def test_names_lead_through_dicts_and_tuples():
    assert render("{{ kept.first.1 }} {{ rows.0.name }}") == "two row 0"
    assert render("{% for row in rows %}{{ forloop.counter }}{% endfor %}").endswith("499500")


ATTACKS = [
    # Attributes and methods.
    "thing.secret",
    "thing.method",
    "text.upper",
    "text.encode",
    "kept.items",
    "kept.first.count",
    "rows.pop",
    "rows.0.copy",
    # The context, the template and its engine hang on the context as attributes.
    "template",
    "template.engine",
    "template.engine.get_default.dirs",
    "template.engine.get_default.template_loaders.0.get_dirs",
    "template.source",
    "render_context",
    "dicts",
    "flatten",
    "push",
    "forloop.parentloop",
    # What Django's own engine gives to every template.
    "settings",
    "settings.SECRET_KEY",
    "request",
    "request.user",
    "perms",
    "user",
    "block.super",
    "csrf_token",
    "rows.999999999999999999999",
]


@pytest.mark.parametrize("name", ATTACKS)
def test_no_name_leads_anywhere_else(name):
    assert render(f"[{{{{ {name} }}}}]") == "[]"
    assert render(f"{{% if {name} %}}yes{{% endif %}}") == ""
    assert render(f"{{% with found={name} %}}[{{{{ found }}}}]{{% endwith %}}") == "[]"
    # As an argument of a filter it is an error.
    with pytest.raises(VariableDoesNotExist):
        render(f"{{{{ kept.nothing|default:{name} }}}}")


@pytest.mark.parametrize("name", ["thing.__class__", "text.__class__.__mro__", "_private", "rows.0._x"])
def test_names_with_underscores_are_not_even_read(name):
    with pytest.raises(TemplateSyntaxError, match="underscores"):
        render(f"{{{{ {name} }}}}")


FORBIDDEN = [
    "{% include '/etc/passwd' %}",
    "{% extends 'base.html' %}",
    "{% load static %}",
    "{% debug %}",
    "{% lorem 999999999 w %}",
    "{% now 'Y' %}",
    "{% url 'admin:index' %}",
    "{% csrf_token %}",
    "{% autoescape off %}{% endautoescape %}",
    "{% cycle 'a' 'b' %}",
    "{% filter upper %}{% endfilter %}",
    "{% widthratio 1 2 3 %}",
    "{% querystring %}",
    "{{ text|center:999999999 }}",
    "{{ text|ljust:999999999 }}",
    "{{ text|rjust:999999999 }}",
    "{{ text|floatformat:999999 }}",
    "{{ text|stringformat:'999999999d' }}",
    "{{ text|wordwrap:1 }}",
    "{{ text|add:text }}",
    "{{ text|safe }}",
    "{{ text|pprint }}",
    "{{ text|urlize }}",
    "{{ rows|dictsort:'__class__' }}",
    "{{ text|make_list }}",
    "{{ text|slice:':1' }}",
]


@pytest.mark.parametrize("source", FORBIDDEN)
def test_what_reaches_outside_or_makes_much_of_little_is_not_in_the_language(source):
    with pytest.raises(TemplateSyntaxError):
        render(source)


LOOP, END = "{% for a in rows %}", "{% endfor %}"
GREEDY = {
    "loops in loops": LOOP * 6 + "x" + END * 6,
    "empty loops in loops": LOOP * 6 + END * 6,
    "a long text in a loop": LOOP + "y" * 20_000 + END,
    "long values in loops": LOOP * 2 + "{{ text }}" + END * 2,
    "characters of a text": "{% for a in text %}{% endfor %}",
    "conditions in loops": LOOP * 4 + "{% if a.name %}{% endif %}" + END * 4,
    "joined by a text": "{{ rows|join:text }}",
    "a text joined": "{{ text|join:text|join:text|join:text }}",
    "line breaks over and over": "{{ text" + "|linebreaks" * 5_000 + " }}",
    "a long source": "z" * (CHARACTERS + 1),
    "blocks in blocks": "{% if text %}" * 3_000 + "{% endif %}" * 3_000,
    "not not not": "{% if " + "not " * 20_000 + "text %}{% endif %}",
    "with in with": "{% with b=text %}" * 3_000 + "{% endwith %}" * 3_000,
    "many values": "{{ text }}" * 10_000,
    "many long conditions": "{% if text|linebreaks|length %}{% endif %}" * 5_000,
}


@pytest.mark.parametrize("source", GREEDY.values(), ids=GREEDY)
def test_a_template_cannot_take_long_or_make_much(source):
    begun = time.process_time()
    with pytest.raises(TooMuch):
        render(source)
    assert time.process_time() - begun < 5


def test_a_letter_about_a_thousand_statements_is_well_within_the_bounds():
    names = "{{ a.name }} {{ a.amount }} {% if a.name %}{{ a.name|upper }}{% endif %}\n"
    assert len(render(LOOP + names + END + LOOP + names + END)) > 20_000
    shipped = letters._shipped("statement.html")
    statement = {"project": "genomics", "due": "$10,000.00", "changes": (), "corrections": (), "ends": ()}
    empty: dict[str, tuple[str, ...]] = dict.fromkeys(("others", "notices", "attached", "left_off"), ())
    values = {"statements": (statement,) * 1_000, "count": 1_000, **empty}
    # Each on its card, and in the line that mail programs show beside the subject.
    assert PlainTemplate(shipped, engine=ENGINE).render(PlainContext(values)).count("genomics") == 2_000


# -- the same through both doors --


def journal(line: str) -> str:
    return TemplateFormat("bank", "", line).write(sample()).content.decode()


@pytest.mark.parametrize("name", [name for name in ATTACKS if not name.startswith(("kept", "rows", "text", "thing"))])
def test_journals_refuse_names_that_lead_elsewhere(name):
    with pytest.raises(TemplateFailed, match="there is no"):
        journal(f"{{{{ {name} }}}}")
    assert "yes" not in journal(f"x{{% if {name} %}}yes{{% endif %}}")


@pytest.mark.parametrize(
    "line",
    [
        "{{ line.debit.as_tuple }}",
        "{{ line.fund_org.encode }}",
        "{{ journal.posting_date.year }}",
        '{{ "1E999999999"|cents }}',
        '{{ "1E999999999"|absolute }}',
        '{{ "NaN"|absolute }}',
        '{{ "1E999999999"|absolute|pad:9 }}',
        "{{ line.fund_org|pad:1001 }}",
        "{% if " + "not " * 20_000 + "line.debit %}{% endif %}",
        "{{ line.fund_org|pad:1000 }}" * 6_000,
        "x" * (CHARACTERS + 1),
        "{% if line.debit %}" * 3_000 + "{% endif %}" * 3_000,
    ],
    ids=lambda line: line[:40],
)
def test_journals_refuse_what_is_greedy(line):
    begun = time.process_time()
    with pytest.raises(TemplateFailed):
        journal(line)
    assert time.process_time() - begun < 5


def letter_of(text: str, settings=None) -> str:
    """Render a letter's text as `statements.emails` does."""
    return letters._rendered("text", text, {"pi": "Ada", "statements": ({"number": "1"},) * 500})


@pytest.mark.parametrize("source", [*FORBIDDEN, *(f"{{{{ {name} }}}}" for name in ("template.engine", "pi.upper"))])
def test_letters_refuse_both(source):
    with pytest.raises(emails.EmailTemplateError):
        letter_of(source)


def test_letters_refuse_what_is_greedy():
    with pytest.raises(emails.EmailTemplateError, match="makes more than"):
        letter_of("{% for a in statements %}" * 5 + "x" + "{% endfor %}" * 5)
