"""The Python packages that the program runs on, with their licenses, and the same list as CycloneDX."""

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from django.conf import settings

REQUIREMENTS = Path(settings.BASE_DIR) / "requirements.txt"
# A pin begins its line; what follows a semicolon says for which Pythons it is.
_PIN = re.compile(r"^([\w.-]+)(?:\[[\w,.-]+\])?==([^\s;\\]+)\s*(;?)", re.MULTILINE)
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Package:
    """A package: the version that is pinned, the one that is installed ("" for none), and its license."""

    name: str
    pinned: str
    version: str
    license: str
    # Whether the license is an SPDX expression, which says exactly which one it is.
    is_spdx: bool = False

    @property
    def is_as_pinned(self) -> bool:
        return self.version == self.pinned


def packages(requirements: Path = REQUIREMENTS) -> list[Package]:
    """Return every package that requirements.txt pins; without those that this Python does not need."""
    found = []
    for name, pinned, marker in _PIN.findall(requirements.read_text(encoding="utf-8")):
        try:
            about = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            if not marker:
                found.append(Package(name, pinned, "", NOT_STATED))
            continue
        license, is_spdx = _license_of(about)
        found.append(Package(name, pinned, about["Version"], license, is_spdx))
    return found


def _license_of(about: metadata.PackageMetadata) -> tuple[str, bool]:
    # Of a field that is there once, this is a list of one.
    if expressions := about.get_all("License-Expression"):
        return expressions[0], True
    classified = [each.split(" :: ")[-1] for each in about.get_all("Classifier") or () if each.startswith("License ::")]
    # Some write the whole license here.
    written = "".join(about.get_all("License") or ()).strip()
    if written and "\n" not in written and len(written) <= 60:
        return written, False
    return ", ".join(each for each in classified if each != "OSI Approved") or NOT_STATED, False


def as_cyclonedx(found: list[Package]) -> dict[str, Any]:
    """Return a CycloneDX 1.6 document of the program and the packages that are installed."""
    program = {"type": "application", "name": "openchargeback", "version": settings.VERSION}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**program, "bom-ref": "openchargeback"}},
        "components": [_component(package) for package in found if package.version],
    }


def _component(package: Package) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name.lower().replace('_', '-')}@{package.version}"
    made = {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
    if package.license == NOT_STATED:
        return made
    license = {"expression": package.license} if package.is_spdx else {"license": {"name": package.license}}
    return {**made, "licenses": [license]}
