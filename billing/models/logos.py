"""The institution's logo, as statements print it."""

from django.db import models


class Logo(models.Model):
    """A picture by its SHA-256: never changed and never removed, for statements that were issued with it."""

    sha256 = models.CharField("SHA-256", max_length=64, primary_key=True)
    png = models.BinaryField("PNG")
    added_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.sha256
