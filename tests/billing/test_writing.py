"""Files written whole: what links name, what a process has open, and the rights of what was there."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from billing.files import writing
from journals import filing

WRITES = (
    "import sys, pathlib; from billing.files import writing; writing.write_whole(pathlib.Path(sys.argv[1]), b'new\\n')"
)


def staged(path: Path, content: bytes) -> None:
    with filing.whole_files() as files:
        files.add(path, content)


BOTH = pytest.mark.parametrize("write", [writing.write_whole, staged])


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@BOTH
def test_a_link_stays_and_what_it_names_is_written(tmp_path, write):
    (tmp_path / "there").mkdir()
    named = tmp_path / "there" / "journal.csv"
    link = tmp_path / "journal.csv"
    link.symlink_to(named)
    for content in (b"one", b"two"):
        write(link, content)
        assert link.is_symlink()
        assert named.read_bytes() == content
    assert [each.name for each in named.parent.iterdir()] == ["journal.csv"]


@BOTH
@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o640, 0o640), (0o664, 0o640), (None, 0o640)])
def test_no_right_is_added_to_those_of_a_file_that_was_there(tmp_path, write, before, after):
    path = tmp_path / "journal.csv"
    if before is not None:
        path.touch()
        path.chmod(before)
    write(path, b"new")
    assert mode_of(path) == after


# Not /dev/stdout itself, which a fault here would replace for the whole machine.
@pytest.mark.parametrize("name", ["/dev/fd/1", "/proc/self/fd/1", "link"])
def test_what_standard_output_is_redirected_to_is_added_to(tmp_path, name):
    (tmp_path / "link").symlink_to("/dev/stdout")
    there = tmp_path / "out"
    with there.open("wb") as out:
        out.write(b"old\n")
        out.flush()
        subprocess.run([sys.executable, "-c", WRITES, str(tmp_path / name)], stdout=out, check=True)
        out.write(b"more\n")
    assert there.read_text() == "old\nnew\nmore\n"
    assert {each.name for each in tmp_path.iterdir()} == {"out", "link"}


@BOTH
def test_what_another_process_has_open_is_written_in_place(tmp_path, write):
    path = tmp_path / "out"
    with path.open("wb") as out:
        number = path.stat().st_ino
        write(Path(f"/proc/{os.getpid()}/fd/{out.fileno()}"), b"new")
    assert (path.read_bytes(), path.stat().st_ino) == (b"new", number)


@BOTH
def test_a_pipe_is_written_to_and_stays_one(tmp_path, write):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reads = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write(path, b"new")
    assert os.read(reads, 10) == b"new"
    os.close(reads)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/../dev/stderr", "/dev/fd/63", "/proc/self/fd/1", "/dev/null"])
def test_what_a_process_has_open_is_never_replaced(name):
    assert writing.is_in_place(Path(name))


@pytest.mark.parametrize("name", ["/dev/shm/file", "/etc/hostname", "file"])
def test_files_are(name):
    assert not writing.is_in_place(Path(name))
