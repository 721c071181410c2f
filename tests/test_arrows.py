"""Arrows point one way: a walk over every import, by the syntax tree, refuses any other."""

import ast
import itertools
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("billing", "statements", "journals", "openchargeback")

# Modules that know no ORM and no clock.
PURE = (
    "billing/readers/*.py",
    "billing/usage/pricing/*.py",
    "billing/usage/rate_schedules/changes.py",
    "billing/usage/rate_schedules/words.py",
    "billing/usage/aside.py",
    "billing/usage/cutting.py",
    "billing/usage/file_records.py",
    "billing/usage/readers/*.py",
    "billing/usage/focus_rows.py",
    "billing/usage/funders.py",
    "billing/usage/readers/*/*.py",
    "billing/usage/records.py",
    "billing/usage/holding_times.py",
    "billing/usage/level_policies.py",
    "billing/usage/levels.py",
    "billing/usage/numbered.py",
    "billing/attribution/checks.py",
    "billing/attribution/conditions.py",
    "billing/charts.py",
    "billing/money.py",
    "billing/currencies.py",
    "billing/fiscal_years.py",
    "billing/texts.py",
    "billing/addresses.py",
    "billing/importing/matching.py",
    "billing/once_a_page.py",
    "billing/patterns.py",
    "statements/archival.py",
    "statements/document.py",
    "statements/drawing/*.py",
    "statements/lettering/*.py",
    "statements/pdf_objects.py",
    "statements/srgb.py",
    "statements/tagging.py",
    "journals/spans.py",
    "journals/formats/*.py",
    "journals/formats/layouts/*.py",
)
# Doors: what parses and prints. Nothing below may know them.
DOORS = ("admin", "views", "urls", "management", "forms", "tasks", "templatetags", "doors")
DJANGO_IN_PURE = ("django.db", "django.conf", "django.utils.timezone", "django.contrib", "django.apps")
# Models are known to no pure module of their own app, or of another.
ORM = tuple(f"{app}.models" for app in APPS)


def imports_of(path: Path) -> set[str]:
    """Return the full name of everything a module imports, also inside functions and for types only."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from billing import audit` imports billing.audit; `from .money import split` billing.money.split.
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules_of(app: str) -> list[Path]:
    return [path for path in sorted((ROOT / app).rglob("*.py")) if "migrations" not in path.parts]


def kind_of(path: Path) -> str:
    """Say which door a module belongs to, or "" for what lies behind the doors."""
    inside = path.relative_to(ROOT).with_suffix("").parts[1:]
    return next((part for part in inside if part in DOORS), "")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(
    ("app", "forbidden"),
    [
        ("billing", ("statements", "journals", "openchargeback")),
        ("statements", ("journals", "openchargeback")),
        ("journals", ("statements", "openchargeback")),
    ],
)
def test_apps_do_not_import_what_lies_above_or_beside_them(app, forbidden):
    wrong = [
        f"{named(path)} imports {name}"
        for path in modules_of(app)
        for name in sorted(imports_of(path))
        if is_within(name, forbidden)
    ]
    assert not wrong, "\n".join(wrong)


def test_pure_modules_know_no_orm_and_no_clock():
    wrong = [
        f"{named(path)} imports {name}"
        for pattern in PURE
        for path in sorted(ROOT.glob(pattern))
        # The package file of formats finds templates kept in the database for the others.
        if path != ROOT / "journals/formats/__init__.py"
        for name in sorted(imports_of(path))
        if is_within(name, (*DJANGO_IN_PURE, *ORM))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_pure_pattern_finds_modules():
    assert not [pattern for pattern in PURE if not list(ROOT.glob(pattern))]


@pytest.mark.parametrize("pattern", PURE)
def test_pure_modules_do_not_read_the_clock(pattern):
    reads = [
        f"{named(path)}:{node.lineno}"
        for path in ROOT.glob(pattern)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"now", "today", "utcnow", "localdate"}
    ]
    assert not reads, "\n".join(reads)


@pytest.mark.parametrize("app", ["billing", "statements", "journals"])
def test_verbs_and_models_do_not_know_the_doors(app):
    doors = tuple(f"{each}.{door}" for each in APPS for door in DOORS if door != "tasks")
    wrong = [
        f"{named(path)} imports {name}"
        for path in modules_of(app)
        # An app's start-up may register screens and tasks; what commands share belongs to that door.
        if not kind_of(path) and path.name not in ("apps.py", "commands.py")
        for name in sorted(imports_of(path))
        if is_within(name, doors)
    ]
    assert not wrong, "\n".join(wrong)


# What models may know of their app: modules that hold no verb. Readers are pure; models know how they spell and hash.
BELOW_MODELS = {
    *(
        "models",
        "fields",
        "money",
        "currencies",
        "errors",
        "patterns",
        "texts",
        "addresses",
        "fiscal_years",
        "inserting",
        "once_a_page",
    ),
    "readers",
}


def test_models_import_no_verb():
    verbs = {
        f"{app}.{each.stem}"
        for app in ("billing", "statements", "journals")
        for each in (ROOT / app).iterdir()
        if (each.suffix == ".py" or (each / "__init__.py").exists()) and each.stem not in {"__init__", *BELOW_MODELS}
    }
    wrong = [
        f"{named(path)} imports {name}"
        for app in ("billing", "statements", "journals")
        for path in [*(ROOT / app).glob("models.py"), *(ROOT / app).glob("models/*.py")]
        for name in sorted(imports_of(path))
        if is_within(name, tuple(verbs))
    ]
    assert not wrong, "\n".join(wrong)


def room_of(name: str, app: str) -> str:
    """Return the room of an app that a dotted name leads to: a package, or a module beside the packages."""
    parts = name.split(".")
    return parts[1] if parts[0] == app and len(parts) > 1 else ""


def arrows_of(app: str) -> dict[str, dict[str, str]]:
    """Return which rooms of an app know which others, each with a module that does."""
    rooms = {each.stem for each in (ROOT / app).iterdir() if each.suffix == ".py" or (each / "__init__.py").exists()}
    found: dict[str, dict[str, str]] = {}
    for path in modules_of(app):
        own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts), app)
        for name in imports_of(path):
            other = room_of(name, app)
            if other in rooms - {own, "__init__"}:
                found.setdefault(own, {})[other] = f"{named(path)} imports {name}"
    return found


def circle_in(arrows: dict[str, dict[str, str]]) -> list[str]:
    """Return the imports of a circle of rooms, or nothing."""
    done: set[str] = set()

    def walk(room: str, way: list[str]) -> list[str]:
        if room in way:
            round_trip = [*way[way.index(room) :], room]
            return [arrows[one][other] for one, other in itertools.pairwise(round_trip)]
        if room in done:
            return []
        for other in sorted(arrows.get(room, {})):
            if found := walk(other, [*way, room]):
                return found
        done.add(room)
        return []

    return next(filter(None, (walk(room, []) for room in sorted(arrows))), [])


@pytest.mark.parametrize("app", ["billing", "statements", "journals"])
def test_no_rooms_of_an_app_know_each_other_in_a_circle(app):
    assert not (circle := circle_in(arrows_of(app))), "\n".join(circle)


def test_a_circle_is_found():
    assert circle_in({"a": {"b": "a to b"}, "b": {"c": "b to c"}, "c": {"b": "c to b"}}) == ["b to c", "c to b"]
    assert circle_in({"a": {"b": "a to b", "c": "a to c"}, "b": {"c": "b to c"}}) == []


def test_nobody_imports_what_another_package_keeps_to_itself():
    """A name that starts with an underscore is its own module's, or at most its package's."""
    wrong = [
        f"{named(path)} imports {name}"
        for app in APPS
        for path in modules_of(app)
        for name in sorted(imports_of(path))
        if name.split(".")[0] in APPS
        and any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
        and not name.startswith(".".join(path.relative_to(ROOT).parts[:-1]))
    ]
    assert not wrong, "\n".join(wrong)


def test_refusals_of_one_name_are_one_class():
    """Whoever catches one by its name catches all of them."""
    classes = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)}, named(path))
        for app in APPS
        for path in modules_of(app)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    refusals = {"BillingError"}
    while more := {name for name, bases, _ in classes if bases & refusals} - refusals:
        refusals |= more
    places: dict[str, list[str]] = {}
    for name, bases, path in classes:
        if bases & refusals:
            places.setdefault(name, []).append(path)
    assert not {name: paths for name, paths in places.items() if len(paths) > 1}


def test_there_are_no_drawers_for_odds_and_ends():
    drawers = {"services", "utils", "helpers", "managers", "signals"}
    assert not [named(path) for app in APPS for path in modules_of(app) if path.stem in drawers]


def test_the_walk_sees_relative_imports_inside_functions(tmp_path, monkeypatch):
    module = tmp_path / "billing" / "deep" / "module.py"
    module.parent.mkdir(parents=True)
    module.write_text(
        "def late():\n    from ..models import Charge\n    from . import beside\n    import statements.issuing\n"
    )
    monkeypatch.setattr("tests.test_arrows.ROOT", tmp_path)
    assert imports_of(module) == {"billing.models.Charge", "billing.deep.beside", "statements.issuing"}
