"""Links in the templates of the admin, only to pages that the viewer may open."""

from django import template

from .. import doors
from ..proof import About

register = template.Library()

# What a month's sums are by, and the model whose rows these are. A service and a fund/org are texts.
MODELS = {"source": "billing.source", "pi": "billing.person", "project": "billing.project"}


@register.simple_tag(takes_context=True)
def page_about(context: template.Context, about: About | None) -> str:
    """Return the address of the page of what something is about, "" where the viewer may not open it."""
    return doors.page_about(about, context["request"].user)


@register.simple_tag(takes_context=True)
def url_of_key(context: template.Context, by: str, key: int | None) -> str:
    """Return the address of a source, PI or project that a sum is of, "" where there is none or it may not be seen."""
    return doors.page_about(About(MODELS[by], key), context["request"].user) if key and by in MODELS else ""
