"""What Django has to know of a database, from its address. Knows no settings."""

from typing import Any

import environ

SQLITE = "django.db.backends.sqlite3"
POSTGRESQL = "django.db.backends.postgresql"


def configured(url: str, *, wait: int) -> dict[str, Any]:
    """Return the settings of the database at an address; on SQLite people wait so many seconds for others who write.

    Raises ValueError, with what follows the name of who was given the address.
    """
    try:
        database: dict[str, Any] = environ.Env.db_url_config(url)
    except ValueError:
        database = {}
    if database.get("ENGINE") == SQLITE:
        # WAL lets people read while an import commits; IMMEDIATE takes the write lock at the start of
        # a transaction, so that two writers queue up instead of failing half-way.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": wait,
            "init_command": (
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536; "
                "PRAGMA mmap_size=0; PRAGMA temp_store=FILE; "
                # Without it INSERT OR REPLACE deletes rows behind the back of their delete triggers (see safeguards).
                "PRAGMA recursive_triggers=ON;"
            ),
        }
        return database
    if database.get("ENGINE") != POSTGRESQL:
        raise ValueError(
            "is not the address of a database: write postgres://user:password@host:5432/name, with %40 and the like "
            "for other characters of the password."
        )
    database.setdefault("CONN_MAX_AGE", 60)
    database["CONN_HEALTH_CHECKS"] = True
    # No query here is long enough to be worth compiling: the review queue of a million charges took 1 s to compile and
    # 0.1 s to ask for.
    asked = database.setdefault("OPTIONS", {})
    asked["options"] = f"{asked.get('options', '')} -c jit=off".strip()
    return database
