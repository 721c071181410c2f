"""The pages of integrations: the settings that they show are understood, and none that a reader knows is left out."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.conf import settings as site

from billing.usage.readers import KINDS, BadSettings

PAGES = Path(site.BASE_DIR) / "docs" / "integrations"
# The page whose settings a kind of feed has, and the kinds of the feeds that a page shows, in its order.
TABLES = {
    "storage": ("storage.md", "zfs-and-du.md"),
    "ceph_traffic": ("ceph.md",),
    "licenses": ("licenses.md",),
    "kubernetes": ("kubernetes.md",),
}
SHOWN = {
    "powerscale.md": ["storage"],
    "qumulo.md": ["storage"],
    "gpfs.md": ["storage"],
    "ceph.md": ["storage", "ceph_traffic"],
    "xdmod-storage.md": ["storage"],
    "zfs-and-du.md": ["storage"] * 4,
    "licenses.md": ["licenses"],
    "kubernetes.md": ["kubernetes"],
    "azure-local.md": ["columns"],
}


@pytest.mark.parametrize("page", SHOWN)
def test_the_settings_that_a_page_shows_are_understood(page):
    blocks = re.findall(r"```json\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == len(SHOWN[page])
    for kind, block in zip(SHOWN[page], blocks, strict=True):
        if kind in KINDS:
            KINDS[kind].settings(json.loads(block))


@pytest.mark.parametrize("kind", TABLES)
def test_every_setting_of_a_kind_is_on_its_page(kind):
    with pytest.raises(BadSettings) as caught:
        KINDS[kind].settings({"no such thing": 1})
    known = str(caught.value).partition("There are ")[2].rstrip(".").split(", ")
    assert len(known) > 1
    text = "".join((PAGES / page).read_text(encoding="utf-8") for page in TABLES[kind])
    assert not [name for name in known if not re.search(rf"^\|.*`{name}`.* \|", text, re.MULTILINE)]


@pytest.mark.parametrize("page", [*SHOWN, "storage.md"])
def test_every_measure_and_attribute_that_a_page_names_for_rates_is_there(page):
    """A misspelled measure would be found when somebody writes a rate, and not before."""
    shapes = [kind.shape(kind.settings({})) for name, kind in KINDS.items() if name in TABLES]
    known = {each.name for shape in shapes for each in shape.measures} | {name for s in shapes for name in s.attributes}
    known |= {"charged_byte_days", "used_byte_days", "quota_byte_days", "file_days", "elapsed_seconds"}
    known |= {"seat_seconds", "issued_seconds"}
    text = (PAGES / page).read_text(encoding="utf-8")
    named = set(
        re.findall(r"`(\w+_(?:days|seconds|milliseconds|pico))`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    )
    assert named <= known


@pytest.mark.parametrize("page", SHOWN)
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_scripts_of_a_page_are_scripts(page):
    for script in re.findall(r"```bash\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL):
        checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr
