"""A form that saves only what its page has shown the effect of."""

import hashlib
from collections.abc import Iterable
from typing import Any, ClassVar

from django import forms
from django.db.models import Model
from django.http import QueryDict


def digest_of(subject: Model, names: Iterable[str]) -> str:
    """Return what stands for all that these fields say: another one means that it has to be shown again."""
    return hashlib.sha256(repr([str(getattr(subject, name) or "") for name in names]).encode()).hexdigest()[:32]


class SeenForm(forms.ModelForm):
    """A form whose subject is saved once what it would have decided was shown."""

    # The fields that decide anything.
    decides: ClassVar[tuple[str, ...]] = ()
    # What is asked where it was not shown yet.
    asks: ClassVar[str]

    # The digest of what is on the page.
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    preview_is_new = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["seen"] = digest_of(self.instance, self.decides)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or "seen" not in self.data:
            return
        digest = digest_of(self.instance, self.decides)
        if self.data["seen"] != digest:
            self.preview_is_new = True
            # The page that asks again carries what it shows.
            again = QueryDict(mutable=True)
            again.update(self.data)
            again["seen"] = digest
            self.data = again
            self.add_error(None, self.asks)
