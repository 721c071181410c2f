"""Ids as their provider compares them: Azure's, and all GUIDs, whatever the case; any other to the letter."""

import re
from collections.abc import Mapping

# Azure's resources, subscriptions, billing accounts and reservations; see “Azure resource names” of its documentation.
AZURE = re.compile(r"/(?:subscriptions|providers)/", re.IGNORECASE)
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Such an id as a tag's value, or behind the prefix of a key (`hidden-link:/subscriptions/…`), in JSON.
IN_TAGS = re.compile(r'(?<=[":])/subscriptions/[^"]*', re.IGNORECASE)

# The columns that hold ids of the provider's. A name stands for the id where there is none.
IDS = ("ResourceId", "ResourceName", "SubAccountId", "BillingAccountId", "CommitmentDiscountId")
# What Azure spells as freely beside such a resource id.
BESIDE = ("ResourceName", "ResourceType", "RegionId")


def is_azure(text: str) -> bool:
    return AZURE.match(text) is not None


def same_id(text: str) -> str:
    """Return an id in the one form that all its spellings share; the text itself where there is only one."""
    if AZURE.match(text):
        return text.casefold().rstrip("/")
    return text.casefold() if GUID.fullmatch(text) else text


def same_resource(name: str, resource_id: str) -> tuple[str, str]:
    """Return a resource's name and id in the form that all their spellings share."""
    return name.casefold() if is_azure(resource_id) else same_id(name), same_id(resource_id)


def same_tags(canonical: str) -> str:
    """Return canonical tags with Azure's ids in the form that all their spellings share."""
    return IN_TAGS.sub(lambda found: same_id(found[0]), canonical) if "/" in canonical else canonical


def compared(texts: Mapping[str, str]) -> dict[str, str]:
    """Return those of a row's texts that are compared otherwise than they may be written, as they are compared."""
    found = {name: same_id(texts[name]) for name in IDS if name in texts}
    if is_azure(texts.get("ResourceId", "")):
        found |= {name: texts[name].casefold() for name in BESIDE}
    return found
