import pytest

from billing.models import UsageFeed
from billing.readers import FileError
from billing.usage import readers
from tests.billing.usage.jobs import read
from tests.billing.usage.plain import PLAIN
from tests.build import a_pi, a_policy, a_project, a_source
from tests.stories.stage import command


@pytest.fixture
def refusal(tmp_path):
    """Return what a file is refused with: its first problem."""

    def refused(content, **settings):
        with pytest.raises(FileError) as caught:
            read(tmp_path / "jobs.txt", content, **settings)
        return caught.value.problems[0]

    return refused


@pytest.fixture
def tiger(db, monkeypatch):
    """A cluster at 0.10 a core-hour, of which each PI has 100 free; Ada's genomics pays with BIO-001."""
    from tests.billing.usage.test_bringing import a_schedule

    monkeypatch.setitem(readers.KINDS, "plain", PLAIN)
    a_policy()
    a_project(pi=a_pi(), default_fund_org="BIO-001")
    a_project("climate", pi=a_pi("bob@u.edu"), default_fund_org="GEO-002")
    a_source("hpc", kind="internal", import_mode="snapshot")
    a_schedule([{"price": "0.10"}])
    command("feeds", "add", "tiger", "-s", "hpc", "--kind", "plain", "--schedule", "hpc")
    return UsageFeed.objects.get()
