"""Dimensions of charges: the texts that repeat from row to row, each combination of them stored once.

A cloud bill of a million rows has some ten thousand distinct texts. A row of a dimension is found by the hash of its
texts (see `readers.dimensions`), is never changed or deleted, and may outlive the charges that it was made for.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.db import models

from ..readers.dimensions import FIELDS, HASH_BYTES, hash_of
from ..readers.spelling import same_id
from .standing import KeptQuerySet, KeptRow

KEPT = "The texts of charges are kept as they were delivered."


class Dimension(KeptRow):
    """Texts that charges share."""

    # As `readers.dimensions` names it, which is also the foreign key of Charge.
    NAME: ClassVar[str]
    KEPT = KEPT

    # Each charge holds the key: four bytes on PostgreSQL, for two billion texts.
    id = models.AutoField(primary_key=True)
    text_hash = models.BinaryField(max_length=HASH_BYTES, unique=True, editable=False)

    objects = KeptQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ()

    def __str__(self) -> str:
        return " ".join(filter(None, (getattr(self, name) for name in FIELDS[self.NAME])))

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> Self:
        """Return the row with these texts by field, made if there is none; a field that is not named is empty."""
        said = {name: texts.get(name, "") for name in FIELDS[cls.NAME]}
        kept: KeptQuerySet[Self] = KeptQuerySet(cls)
        found, _ = kept.get_or_create(text_hash=hash_of(said.values()), defaults=said | cls.derived(said))
        return found

    @classmethod
    def derived(cls, said: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields that follow from the texts."""
        return {}


class Product(Dimension):
    """What was used, of which provider, and how it is priced and subsidized."""

    NAME = "product"

    provider_name = models.TextField("provider", blank=True)
    publisher_name = models.TextField("publisher", blank=True)
    service_category = models.TextField(blank=True)
    service_name = models.TextField("service", blank=True)
    charge_category = models.TextField(blank=True)
    charge_class = models.TextField(blank=True)
    charge_frequency = models.TextField(blank=True)
    sku_id = models.TextField("SKU ID", blank=True)
    sku_price_id = models.TextField("SKU price ID", blank=True)
    pricing_category = models.TextField(blank=True)
    pricing_currency = models.TextField(blank=True)
    pricing_unit = models.TextField(blank=True)
    consumed_unit = models.TextField(blank=True)
    commitment_discount_id = models.TextField("commitment discount ID", blank=True)
    commitment_discount_status = models.TextField(blank=True)
    subsidy_fund_org = models.TextField(
        "subsidy fund/org", blank=True, help_text="Pays what the user does not. Empty: as the source says."
    )

    class Meta(Dimension.Meta):
        indexes = [models.Index(fields=["service_name"], name="product_service")]


class Price(Dimension):
    """The prices of one unit, as decimal texts."""

    NAME = "price"

    list_unit_price = models.TextField(blank=True)
    contracted_unit_price = models.TextField(blank=True)

    class Meta(Dimension.Meta):
        pass


class Description(Dimension):
    """What the provider says of a charge in its own words."""

    NAME = "description"

    charge_description = models.TextField(blank=True)

    class Meta(Dimension.Meta):
        pass


class ResourceText(Dimension):
    """A resource as rows name it. One that is renamed has several of these, with one `folded_id`."""

    NAME = "resource"

    # A cluster has one for each job.
    id = models.BigAutoField(primary_key=True)
    resource_id = models.TextField("resource ID", blank=True)
    resource_name = models.TextField(blank=True)
    resource_type = models.TextField(blank=True)
    region_id = models.TextField("region ID", blank=True)
    folded_id = models.TextField(
        blank=True, editable=False, help_text="The ID in the form that all its spellings share; without one, the name."
    )

    class Meta(Dimension.Meta):
        indexes = [models.Index(fields=["folded_id"], name="resource_folded")]

    @classmethod
    def derived(cls, said: Mapping[str, str]) -> dict[str, Any]:
        return {"folded_id": folded_id(said["resource_id"], said["resource_name"])}


class AccountText(Dimension):
    """The billing and sub account of a row, and the invoice it stands on."""

    NAME = "account"

    billing_account_id = models.TextField("billing account ID", blank=True)
    billing_account_name = models.TextField(blank=True)
    sub_account_id = models.TextField("sub account ID", blank=True)
    sub_account_name = models.TextField(blank=True)
    invoice_id = models.TextField("invoice ID", blank=True)

    class Meta(Dimension.Meta):
        pass


class TagSet(Dimension):
    """Tags as they were delivered."""

    NAME = "tag_set"

    tags = models.TextField(blank=True)

    class Meta(Dimension.Meta):
        pass


class DimensionKey(models.ForeignKey):
    """The foreign key of a charge to one of its dimensions.

    Its number is `resource_key` on a charge and in queries, not `resource_id`: that is FOCUS's ResourceId.
    """

    def get_attname(self) -> str:
        return f"{self.name}_key"

    def get_attname_column(self) -> tuple[str, Any]:
        return self.get_attname(), self.db_column or f"{self.name}_id"


DIMENSION_MODELS: tuple[type[Dimension], ...] = (Product, Price, Description, ResourceText, AccountText, TagSet)

# Field of a dimension -> the way to it from a charge: service_name -> product__service_name.
PATHS: dict[str, str] = {name: f"{model.NAME}__{name}" for model in DIMENSION_MODELS for name in FIELDS[model.NAME]}


def folded_id(resource_id: str, resource_name: str) -> str:
    """Return what makes a resource the same one, however it is spelled: its id, or without one its name."""
    return same_id(resource_id) or same_id(resource_name)


def subsidy_fund_orgs() -> dict[int, str]:
    """Return what rows name for their subsidy, by the key of their product; those that name nothing are left out."""
    return dict(Product.objects.exclude(subsidy_fund_org="").order_by().values_list("pk", "subsidy_fund_org"))


def saying(**wanted: str) -> models.Q:
    """Match charges by lookups on their texts, such as `service_name__icontains="disk"`; all have to hold.

    They are looked up in the dimensions, which are small, and not in the charges joined with them.
    """
    found = models.Q()
    for model in DIMENSION_MODELS:
        own = {lookup: text for lookup, text in wanted.items() if lookup.partition("__")[0] in FIELDS[model.NAME]}
        if own:
            found &= models.Q(**{f"{model.NAME}__in": model.objects.filter(**own).order_by().values("pk")})
    return found


class Said:
    """A text of a charge that its dimension holds: `charge.service_name` is `charge.product.service_name`."""

    def __init__(self, dimension: str) -> None:
        self.dimension = dimension

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, charge: Any, owner: type | None = None) -> str:
        if charge is None:
            raise AttributeError(f"{self.name} is a text of single charges: query {PATHS[self.name]}.")
        text: str = getattr(getattr(charge, self.dimension), self.name)
        return text
