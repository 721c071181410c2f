"""Run the FinOps Foundation's validator of FOCUS files: `.venv-focus/bin/python tests/check_focus.py FILE OUT`.

Writes what it says of each rule of FOCUS 1.2 to OUT, as JUnit XML. The validator asks for Python 3.12, of which it uses
one thing that 3.11 has not: a backslash inside of an f-string's braces. There that one expression is read as its equal.
"""

import importlib.machinery
import os
import sys
from pathlib import Path
from typing import Any

MODEL = "1.2.0.1"
NEW = b"""f"'{k.replace('\\"', '\\"\\"')}'\""""
OLD = b"""("'" + k.replace('"', '""') + "'")"""


class Readable(importlib.machinery.SourceFileLoader):
    """Loads modules with that expression written so that Python 3.11 reads it."""

    def source_to_code(  # type: ignore[override]
        self, data: Any, path: Any, **options: Any
    ) -> Any:
        return super().source_to_code(bytes(data).replace(NEW, OLD), path, **options)


def main() -> None:
    file, out = (str(Path(name).resolve()) for name in sys.argv[1:])
    if sys.version_info < (3, 12):
        details = (
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (Readable, importlib.machinery.SOURCE_SUFFIXES),
            (importlib.machinery.SourcelessFileLoader, importlib.machinery.BYTECODE_SUFFIXES),
        )
        sys.path_hooks.insert(0, importlib.machinery.FileFinder.path_hook(*details))
        sys.path_importer_cache.clear()
    import focus_validator
    from focus_validator.main import main as validate

    # It reads its lists from where it is installed, as seen from the working directory.
    os.chdir(Path(focus_validator.__file__).parent.parent)

    sys.argv = [
        *("focus-validator", "--data-file", file, "--validate-version", MODEL, "--block-download"),
        *("--output-type", "unittest", "--output-destination", out),
    ]
    validate()


if __name__ == "__main__":
    main()
