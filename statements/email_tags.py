"""What the texts of e-mails may use: enough to write a letter, nothing that reads files or runs for ever."""

from django.template import Library, defaultfilters, defaulttags

register = Library()

for name in ("comment", "for", "if", "ifchanged", "with"):
    register.tags[name] = defaulttags.register.tags[name]

for name in (
    "capfirst",
    "default",
    "first",
    "join",
    "last",
    "length",
    "linebreaks",
    "linebreaksbr",
    "lower",
    "pluralize",
    "title",
    "upper",
    "urlize",
    "yesno",
):
    register.filters[name] = defaultfilters.register.filters[name]
