"""The institution's own values of a layout, entered apart from all else it says."""

import json
from collections.abc import Mapping

from billing.errors import BillingError

from .reading import layout_from_text
from .schema import parsed


class UnknownSetting(BillingError):
    """A value was given for a setting that a layout does not have."""


def with_settings(content: str, values: Mapping[str, str]) -> str:
    """Return the text of a layout with the values of its settings, all else as it is written.

    Raises LayoutNotUnderstood, and UnknownSetting for one that it does not have.
    """
    known = [each.name for each in layout_from_text(content).settings]
    for name in values:
        if name not in known:
            raise UnknownSetting(f"The layout has no setting “{name}”. It has: {', '.join(known) or 'none'}.")
    data = parsed(content)
    changed = False
    for each in data.get("settings", ()):
        value = values.get(each["name"], each.get("value", "")).strip()
        changed = changed or value != each.get("value", "")
        each["value"] = value
    if not changed:
        return content
    made = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    layout_from_text(made)
    return made
