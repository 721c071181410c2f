"""The table of the cache that all processes share where the database is no file (`CACHES["months"]`)."""

from django.db import models


class Kept(models.Model):
    """One value that Django's cache keeps; only it reads and writes them."""

    cache_key = models.CharField(primary_key=True, max_length=255)
    value = models.TextField()
    expires = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "billing_kept"
        verbose_name, verbose_name_plural = "cached value", "cached values"
        default_permissions = ()

    def __str__(self) -> str:
        return self.cache_key
