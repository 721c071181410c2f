"""Fields of the policy's form: lists as people type them."""

from typing import Any

from django import forms

from ...addresses import normalized_domain, normalized_email
from ...models.policy import check_addresses, check_domains, problems_of


class WordsField(forms.CharField):
    """A list of words, separated by commas."""

    def prepare_value(self, value: object) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: object) -> list[str]:
        return [word.strip() for word in str(super().clean(value) or "").split(",") if word.strip()]


class PatternsField(forms.CharField):
    """A list of regular expressions, one per line."""

    widget = forms.Textarea(attrs={"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: object) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: object) -> list[str]:
        lines = [line.strip() for line in str(super().clean(value) or "").splitlines()]
        # By the lines as they were typed, empty ones too.
        if problems := problems_of([(number, line) for number, line in enumerate(lines, 1) if line]):
            raise forms.ValidationError(problems)
        return list(dict.fromkeys(filter(None, lines)))


class DomainsField(WordsField):
    """A list of domains, as people type them."""

    def clean(self, value: object) -> list[str]:
        domains = [normalized_domain(word.removeprefix("@")) for word in super().clean(value)]
        check_domains(domains)
        return list(dict.fromkeys(domains))


class AddressesField(WordsField):
    """A list of e-mail addresses, as people type them."""

    def clean(self, value: object) -> list[str]:
        addresses = [normalized_email(word) for word in super().clean(value)]
        check_addresses(addresses)
        return list(dict.fromkeys(addresses))


class CurrencyField(forms.CharField):
    """A code, in whatever case it is typed; whether it is one, the policy says."""

    def to_python(self, value: object) -> str:
        return str(super().to_python(value)).upper()
