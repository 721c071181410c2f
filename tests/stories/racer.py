"""A process that runs commands when it is told to, so that two of them meet: one JSON object a line, in and out."""

import json
import sys
import time
import traceback
from io import StringIO
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))


def main() -> None:
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "openchargeback.settings")
    import django

    django.setup()
    print(json.dumps({"ready": True}), flush=True)  # noqa: T201 (the other process reads it)
    for line in sys.stdin:
        print(json.dumps(answer_to(json.loads(line)), default=str), flush=True)  # noqa: T201


def answer_to(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a command at its time (seconds since the epoch), or evaluate an expression about the database."""
    from django.core.management import CommandError, call_command
    from django.db import close_old_connections

    time.sleep(max(0.0, asked.get("at", 0.0) - time.time()))
    try:
        if expression := asked.get("evaluate"):
            return {"value": evaluated(expression)}
        out = StringIO()
        call_command(*asked["command"], "--json", stdout=out, stderr=StringIO())
        return {"answer": json.loads(out.getvalue())}
    except CommandError as error:
        return {"refused": str(error)}
    except Exception:  # a race must never end so: the test shows it
        return {"crashed": traceback.format_exc()}
    finally:
        close_old_connections()


def evaluated(expression: str) -> Any:
    import billing.models
    import journals.models
    import statements.models
    from billing.money import plain

    names = {**vars(billing.models), **vars(statements.models), **vars(journals.models), "plain": plain}
    return eval(expression, names)  # noqa: S307 (written in the tests)


if __name__ == "__main__":
    main()
