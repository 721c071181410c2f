"""What tests of readers of usage share: files written and read to the end, and what was wrong with them."""

from pathlib import Path

import pytest
from django.conf import settings

from billing.readers import FileError
from billing.usage.readers import KINDS, Tally

SAMPLES = Path(settings.BASE_DIR).parent / "shared" / "samples" / "usage"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared samples are not on this machine")


def written(folder, content, name="usage"):
    """Write a file, and return where it is."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def records_of(path, kind, given=None, tally=None):
    """Return the records of a file as dicts."""
    reader = KINDS[kind]
    chosen = reader.settings(given or {})
    schema = reader.shape(chosen).schema
    records = []
    for batch in reader.read(path, path.name, chosen, Tally() if tally is None else tally):
        batch.validate(full=True)
        assert batch.schema == schema
        records += batch.to_pylist()
    return records


def problems_of(path, kind, given=None):
    """Return what is wrong with a file, as people read it."""
    with pytest.raises(FileError) as caught:
        records_of(path, kind, given)
    return [str(problem) for problem in caught.value.problems]


def wrong_settings(kind, given):
    """Return what is wrong with settings: the name of each with what is said of it."""
    with pytest.raises(FileError) as caught:
        KINDS[kind].settings(given)
    return {problem.column: problem.message for problem in caught.value.problems}


def totals_of(records, shape):
    """Return the sum of each measure."""
    return {measure.name: sum(record[measure.name] for record in records) for measure in shape.measures}
