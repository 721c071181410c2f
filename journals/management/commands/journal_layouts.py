"""Layouts of journals for ledgers' loaders: taken from a preset or a file, filled in, released and retired."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from billing.commands import BillingCommand, day, subcommands, table
from billing.files import whole
from journals import layouts
from journals.formats.layouts import preset_named, presets
from journals.formats.layouts.settings import CHOICES, DESCRIPTIONS
from journals.models import JournalLayout

EDIT, VIEW = "journals.edit_layouts", "journals.view_journallayout"


class Command(BillingCommand):
    help = "Make layouts of journals for ledgers' loaders, from presets or files, and release them."
    permission = {
        "list": VIEW,
        "presets": VIEW,
        "show": VIEW,
        "add": EDIT,
        "set": EDIT,
        "release": EDIT,
        "retire": EDIT,
        "discard": EDIT,
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every version of every layout")
        verbs.add_parser("presets", help="what a layout can be made from, with what has to be set")
        show = verbs.add_parser("show", help="print a layout as JSON, or write it to a file")
        show.add_argument("name", metavar="NAME")
        show.add_argument("--version", dest="number", type=int, metavar="N", help="else the newest")
        show.add_argument("-o", "--output", type=Path, metavar="FILE")
        add = verbs.add_parser("add", help="a new layout, or the next version of one, as a draft")
        add.add_argument("name", metavar="NAME", help="what export_journal -f takes")
        source = add.add_mutually_exclusive_group(required=True)
        source.add_argument("--preset", metavar="PRESET", help="one of `journal_layouts presets`")
        source.add_argument("--file", type=Path, metavar="FILE", help="JSON, as `show` writes it")
        change = verbs.add_parser("set", help="settings of a draft, which lines it puts together, and its descriptions")
        change.add_argument("name", metavar="NAME")
        for each in (add, change):
            each.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help="may be repeated")
            for name, allowed in CHOICES.items():
                each.add_argument(f"--{name}", choices=allowed, help="which lines are one: see the layout's page")
            for name in DESCRIPTIONS:
                told = "what {description} prints, such as “{reference} {project}”; empty: as the journal line says"
                each.add_argument(f"--{name}-description", metavar="TEXT", help=told)
        for verb, told in (
            ("release", "have journals written in a draft; the version before it is retired"),
            ("retire", "have no more journals written in it"),
            ("discard", "delete a draft"),
        ):
            verbs.add_parser(verb, help=told).add_argument("name", metavar="NAME")

    def run(self, **options: Any) -> None:
        getattr(self, f"run_{options.pop('verb')}")(**options)

    def run_list(self, **_: object) -> None:
        found = [as_data(each) for each in JournalLayout.objects.order_by("name", "-version")]
        rows = [[each["name"], str(each["version"]), each["state"], each["title"]] for each in found]
        none = "There is no layout. `manage.py journal_layouts add NAME --preset PRESET` makes one."
        text = table(rows, ["layout", "version", "state", "title"], right={1}) if rows else none
        self.report({"layouts": found}, text)

    def run_presets(self, **_: object) -> None:
        found = [
            {
                "name": each.name,
                "title": each.layout.title,
                "settings": [
                    {"name": one.name, "label": one.label, "value": one.value, "optional": one.optional}
                    for one in each.layout.settings
                ],
            }
            for each in presets().values()
        ]
        text = "\n".join(
            f"{each.name}: {each.layout.title}\n  to set: {', '.join(one.name for one in each.layout.empty_settings)}"
            for each in presets().values()
        )
        self.report({"presets": found}, text)

    def run_show(self, *, name: str, number: int | None, output: Path | None, **_: object) -> None:
        layout = layouts.layout_named(name, number)
        if output:
            with whole(output) as file:
                file.write(layout.content.encode())
        self.report(
            as_data(layout) | {"content": layout.content},
            f"{layout} is in {output}." if output else layout.content.rstrip(),
        )

    def run_add(self, *, name: str, preset: str | None, file: Path | None, **options: Any) -> None:
        content = preset_named(preset).content if preset else text_of(file)
        layout = layouts.add(name=name, content=content, **self.chosen(options))
        self.told(layout, "drafted")

    def run_set(self, *, name: str, **options: Any) -> None:
        self.told(layouts.set_up(layout=layouts.layout_named(name), **self.chosen(options)), "changed")

    def chosen(self, options: dict[str, Any]) -> dict[str, Any]:
        condense = {name: options[name] for name in CHOICES if options[name]}
        given = {name: options[f"{name}_description"] for name in DESCRIPTIONS}
        return {
            "settings": settings_in(options["set"]),
            "condense": condense,
            "descriptions": {name: text for name, text in given.items() if text is not None},
            "actor": self.actor,
            "now": self.now,
        }

    def told(self, layout: JournalLayout, participle: str) -> None:
        empty = ", ".join(each.name for each in layouts.read(layout).empty_settings)
        then = (
            f"Set {empty} with `manage.py journal_layouts set {layout.name} --set …`." if empty else "Release it next."
        )
        self.report(as_data(layout), f"The layout {layout} is {participle}. {then}")

    def run_release(self, *, name: str, **_: object) -> None:
        layout = layouts.release(layout=layouts.layout_named(name), actor=self.actor, now=self.now)
        self.report(as_data(layout), f"The layout {layout} is released: `manage.py export_journal -f {name}`.")

    def run_retire(self, *, name: str, **_: object) -> None:
        layout = JournalLayout.objects.filter(name=name, state=JournalLayout.State.RELEASED).first()
        layout = layouts.retire(layout=layout or layouts.layout_named(name), actor=self.actor, now=self.now)
        self.report(as_data(layout), f"The layout {layout} is retired: no journal is written in it any more.")

    def run_discard(self, *, name: str, **_: object) -> None:
        layout = layouts.layout_named(name)
        data = as_data(layout)
        layouts.discard(layout=layout, actor=self.actor, now=self.now)
        self.report(data, f"The layout {layout} is deleted.")


def settings_in(given: list[str]) -> dict[str, str]:
    """Return settings written SETTING=VALUE. Raises CommandError for anything else."""
    for each in given:
        if "=" not in each:
            raise CommandError(f"“{each}” is no setting. Write it such as chart=UC.")
    return {name.strip(): value for name, _, value in (each.partition("=") for each in given)}


def text_of(path: Path | None) -> str:
    """Return the text of a file. Raises CommandError where it cannot be read."""
    assert path is not None
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is no text in UTF-8. Save it as that.") from error


def as_data(layout: JournalLayout) -> dict[str, Any]:
    return {
        "name": layout.name,
        "version": layout.version,
        "state": layout.state,
        "title": layout.title,
        "created": day(layout.created_at),
        "released": day(layout.released_at) if layout.released_at else None,
    }
