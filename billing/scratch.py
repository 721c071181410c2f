"""A process of its own beside this one, on a database of its own: for what must not touch the installation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from .errors import BillingError

# Whatever else could lead to the real installation. The demo's takes no database from the environment.
SHUT = {"DEMO": "", "AUDIT_ANCHOR": "", "EMAIL_URL": "", "Q_BROKER_URL": ""}


def answer_of(
    main: str,
    folder: Path,
    *,
    answer: str,
    environment: Mapping[str, str],
    unanswered: Callable[[str], BillingError],
) -> dict[str, Any]:
    """Have a process run a module's `main` on a folder, and return what it wrote to the file `answer` there.

    It has the files in the folder's `var`, and the environment of this process with what is given. Raises what
    `unanswered` makes of the end of its errors where there is no answer.
    """
    done = subprocess.run(  # noqa: S603 (our own interpreter and module)
        [sys.executable, "-c", f"import django; django.setup(); from {main} import main; main()", str(folder)],
        cwd=settings.BASE_DIR,
        env={**os.environ, "VAR_DIR": str(folder / "var"), **SHUT, **environment},
        capture_output=True,
        text=True,
    )
    path = folder / answer
    if not path.exists():
        raise unanswered(done.stderr.strip()[-1000:])
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told
