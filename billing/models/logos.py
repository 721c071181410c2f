"""The institution's logo, as statements print it."""

from django.db import models


class Logo(models.Model):
    """A picture or drawing as it is kept, PNG or plain SVG, by its SHA-256.

    It is never changed and never removed, for statements that were issued with it.
    """

    sha256 = models.CharField("SHA-256", max_length=64, primary_key=True)
    picture = models.BinaryField("PNG or SVG")
    added_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.sha256
