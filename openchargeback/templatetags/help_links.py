"""The link to the help for the page that is shown."""

from typing import Any

from django import template
from django.template import Context
from django.utils.html import format_html

from openchargeback import help as help_pages
from openchargeback.help import pages

register = template.Library()


@register.simple_tag(takes_context=True)
def help_for(context: Context) -> str:
    """Return the link to the help for this page; "" for somebody who is not signed in. It asks the database nothing."""
    user: Any = context.get("user")
    request: Any = context.get("request")
    if user is None or request is None or not user.is_authenticated:
        return ""
    match = request.resolver_match
    slug, anchor = help_pages.place_of(match.view_name if match else "")
    if pages.page(slug or pages.INDEX, is_staff=user.is_staff) is None:
        # A PI on a page whose help is for staff.
        slug, anchor = pages.PORTAL, ""
    return format_html('<a class="help-link" href="{}">Help</a>', help_at(f"{slug or pages.INDEX}#{anchor}"))


@register.simple_tag
def help_at(place: str) -> str:
    """Return the address of a place in the help, written as `operations#the-worker`."""
    slug, _, anchor = place.partition("#")
    address = pages.address_of(slug)
    return f"{address}#{anchor}" if anchor else address
