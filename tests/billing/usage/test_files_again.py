"""Tables whose rows have no id, and come again: the same rows, more, fewer, and corrected ones."""

from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import Charge, UsageFeed, UsageFile
from billing.usage.file_records import RecordsOfFiles
from billing.usage.readers import KINDS, Tally
from tests.build import a_pi, a_policy, a_project, a_source
from tests.stories.stage import command

from .reading import written
from .test_bringing import a_schedule

pytestmark = pytest.mark.django_db

SETTINGS = {
    "start": "Date",
    "account": "Lab",
    "resource": "Instrument",
    "measures": {"hours": {"column": "Hours", "unit": "hour", "decimals": 2}},
}


@pytest.fixture
def confocal():
    """An instrument at 10.00 an hour, whose log has no ids."""
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    source = a_source("lab", kind="internal", import_mode="snapshot")
    counts = [{"measure": "hours", "unit": "hour"}]
    a_schedule([{"price": "10"}], name="lab", free="0", code="hours", counts=counts, unit="hour")
    return UsageFeed.objects.create(name="confocal", source=source, kind="columns", schedule="lab", settings=SETTINGS)


def read(tmp_path, name, *rows):
    """Read rows such as `1 2.5`: on January 1, two hours and a half."""
    lines = ["Date,Lab,Instrument,Hours", *(f"2025-01-{day:02},genomics,Confocal,{hours}" for day, hours in rows)]
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return command("usage", path, "-f", "confocal")


def charged():
    return sum((each.billed_cost for each in Charge.objects.live()), Decimal(0))


def test_the_same_rows_in_another_file_change_nothing(confocal, tmp_path):
    read(tmp_path, "a.csv", (1, 2), (1, 2), (3, 1))
    assert charged() == 50
    answer = read(tmp_path, "b.csv", (3, 1), (1, 2), (1, 2))
    counts = answer["months"][0]["import"]
    assert (counts["new"], counts["changed"], counts["withdrawn"]) == (0, 0, 0)
    assert answer["months"][0]["notes"] == []
    assert charged() == 50


def test_a_row_that_was_corrected_or_removed_is_charged_as_it_is_now(confocal, tmp_path):
    read(tmp_path, "a.csv", (1, 2), (2, 2), (2, 2), (3, 1))
    # One of two equal rows is removed, and the last is corrected.
    answer = read(tmp_path, "b.csv", (1, 2), (2, 2), (3, "1.5"), (4, 1))
    assert charged() == 65
    assert answer["months"][0]["notes"] == [
        "Of earlier files, 2 records count no more: a later file of the same time does not have them."
    ]
    # Without the later file, the earlier one stands again.
    command("feeds", "withdraw", UsageFile.objects.latest("pk").pk, "--reason", "x")
    assert charged() == 70


def test_files_of_other_days_count_beside_each_other(confocal, tmp_path):
    read(tmp_path, "week1.csv", (1, 2), (7, 1))
    read(tmp_path, "week2.csv", (8, 1), (14, 1))
    assert charged() == 50


@pytest.mark.parametrize(("files", "total"), [("add", 30), ("replace", 20)])
def test_a_feed_says_what_its_files_mean(confocal, tmp_path, files, total):
    UsageFeed.objects.update(settings=SETTINGS | {"files": files})
    read(tmp_path, "a.csv", (1, 1), (3, 1))
    read(tmp_path, "b.csv", (1, 1), (4, 1))
    assert charged() == total


ROWS = st.lists(st.tuples(st.integers(2, 27), st.integers(1, 3)), max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_the_last_of_some_editions_is_what_counts(tmp_path, editions):
    """Each begins on the 1st and ends on the 28th: rows between come, go and change, some of them equal."""
    kind = KINDS["columns"]
    chosen = kind.settings(SETTINGS)
    shape, paths = kind.shape(chosen), []
    for number, rows in enumerate(editions):
        lines = "".join(f"2025-01-{day:02},genomics,Confocal,{hours}\n" for day, hours in [(1, 1), *rows, (28, 1)])
        source = written(tmp_path, "Date,Lab,Instrument,Hours\n" + lines, f"{number}.csv")
        paths.append(tmp_path / f"{number}.parquet")
        batches = list(kind.read(source, source.name, chosen, Tally()))
        pq.write_table(pa.Table.from_batches(batches, shape.schema), paths[-1])
    records = RecordsOfFiles(paths, shape, 0, 2**40, tmp_path)
    found = sorted(hours for table in records.blocks(["hours"]) for hours in table["hours"].to_pylist())
    assert found == sorted(100 * hours for _, hours in [(1, 1), *editions[-1], (28, 1)])


def test_rows_with_an_id_are_added_unless_the_feed_says_otherwise():
    kind = KINDS["columns"]
    assert not kind.settings({**SETTINGS, "id": "Booking"}).shape.are_whole
    assert kind.settings({**SETTINGS, "id": "Booking", "files": "replace"}).shape.are_whole
    assert kind.settings(SETTINGS).shape.are_whole
