"""{% once %}: the token with which a form that is sent twice is done once."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from .. import once as sending

register = template.Library()


@register.simple_tag
def once() -> SafeString:
    return format_html('<input type="hidden" name="once" value="{}">', sending.token())
