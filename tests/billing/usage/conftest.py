import pytest

from billing.readers import FileError
from tests.billing.usage.jobs import read


@pytest.fixture
def refusal(tmp_path):
    """Return what a file is refused with: its first problem."""

    def refused(content, **settings):
        with pytest.raises(FileError) as caught:
            read(tmp_path / "jobs.txt", content, **settings)
        return caught.value.problems[0]

    return refused
