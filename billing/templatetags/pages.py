"""Links in the templates of the admin, only to pages that the viewer may open."""

from django import template

from .. import doors
from ..proof import About

register = template.Library()


@register.simple_tag(takes_context=True)
def page_about(context: template.Context, about: About | None) -> str:
    """Return the address of the page of what something is about, "" where the viewer may not open it."""
    return doors.page_about(about, context["request"].user)
