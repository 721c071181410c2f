"""What the texts of e-mails may use: enough to write a letter, nothing that reads files or runs without end."""

from django.template import Library, defaultfilters, defaulttags

from billing import plain_templates

register = Library()

for name in ("comment", "if", "ifchanged", "with"):
    register.tags[name] = defaulttags.register.tags[name]
register.tags["for"] = plain_templates.loop

for name in (
    "capfirst",
    "default",
    "first",
    "last",
    "length",
    "linebreaks",
    "linebreaksbr",
    "lower",
    "pluralize",
    "title",
    "upper",
    "yesno",
):
    register.filters[name] = defaultfilters.register.filters[name]

SEPARATOR = 20


@register.filter
def join(values: object, separator: str) -> str:
    """Join the texts of a list. Refuse a long separator: repeated often, it would make a text of any size."""
    if not isinstance(values, (tuple, list)) or len(separator) > SEPARATOR:
        raise plain_templates.TooMuch(f"`join` takes a list, and a separator of {SEPARATOR} characters at most.")
    return str(separator).join(str(value) for value in values)
