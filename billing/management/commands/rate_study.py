"""manage.py rate_study: what services cost, what was used of them, and the rates that follow."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from billing.commands import BillingCommand, subcommands, table
from billing.errors import BillingError
from billing.files import piped
from billing.files.writing import whole
from billing.fiscal_years import label_of
from billing.models import CostPool, Policy, RateStudy, SharedCost
from billing.money import rounded
from billing.quantities import for_people, plain
from billing.texts import iso_month
from billing.usage import feeds, studies, trying
from billing.usage.rate_schedules.words import NotUnderstood, number_of, number_text
from billing.usage.studies import Drafted, Studied, Taken

VIEW = "billing.view_ratestudy"


class Command(BillingCommand):
    help = "Draft rate studies, show the equation of one, take it to a workbook or PDF, and adopt it."
    permission = {
        "list": VIEW,
        "add": "billing.add_ratestudy",
        "costs": "billing.change_ratestudy",
        "shared": VIEW,
        "share": "billing.change_sharedcost",
        "show": VIEW,
        "try": VIEW,
        "export": VIEW,
        "adopt": "billing.adopt_ratestudy",
    }

    def arguments(self, parser: CommandParser) -> None:
        verbs = subcommands(parser)
        verbs.add_parser("list", help="every study with its rate, and whether it holds")
        add = verbs.add_parser("add", help="draft the study of a rate, with its costs from a file")
        add.add_argument("-f", "--feed", required=True, metavar="FEED", help="the usage feed")
        add.add_argument("--rate", required=True, metavar="CODE", help="the code of a rate of the feed's schedule")
        add.add_argument("--year", required=True, type=int, metavar="2026", help="the fiscal year, by its end")
        add.add_argument("--costs", metavar="FILE", help=".csv or .xlsx; - reads standard input")
        add.add_argument("--opening-balance", metavar="N", help="what the years before left; under-recovery below zero")
        add.add_argument("--expected-units", metavar="N", help="else those of the year")
        add.add_argument("--decimals", type=int, metavar="N", help="the rate is rounded to so many; else 4")
        add.add_argument("--proposed-rate", metavar="N", help="for one unit; else the break-even rate")
        add.add_argument("--note", default="", help="who approved it, and what it rests on")
        costs = verbs.add_parser("costs", help="replace all costs of a draft by those of a file")
        costs.add_argument("study", metavar="STUDY", type=int, help="its number, as list shows it")
        costs.add_argument("file", metavar="FILE", help=".csv or .xlsx; - reads standard input")
        verbs.add_parser("shared", help="costs that several rates share, and the part of each study")
        share = verbs.add_parser("share", help="add shared costs of a fiscal year, or replace those of the same name")
        share.add_argument("file", metavar="FILE", help=".csv or .xlsx; - reads standard input")
        share.add_argument("--year", required=True, type=int, metavar="2026", help="the fiscal year, by its end")
        for verb in (add, costs, share):
            verb.add_argument("--dry-run", action="store_true", help="say what it would come to; store nothing")
        for name, said in (
            ("show", "the equation of a study, its costs and use, and what is wrong with it"),
            ("try", "what each PI would have paid by its rate in the last three closed months"),
            ("export", "write a study to a workbook with formulas, or to a PDF to file"),
            ("adopt", "keep its figures as they are, permanently"),
        ):
            verb = verbs.add_parser(name, help=said)
            verb.add_argument("study", metavar="STUDY", type=int, help="its number, as list shows it")
            if name == "export":
                verb.add_argument("-o", "--output", required=True, metavar="FILE", help=".xlsx or .pdf")

    def run(self, **options: Any) -> None:
        doing: dict[str, Callable[..., None]] = {
            "list": self.list,
            "add": self.add,
            "costs": self.costs,
            "shared": self.shared,
            "share": self.share,
            "show": self.show,
            "try": self.attempt,
            "export": self.export,
            "adopt": self.adopt,
        }
        doing[options.pop("verb")](**options)

    def list(self, **options: object) -> None:
        rows, data = [], []
        for study in RateStudy.objects.select_related("feed__source"):
            try:
                found = studies.studied(study)
            except BillingError as error:
                rate, verdict = "–", str(error)
            else:
                rate = number_text(found.figures.rate) if found.figures.rate is not None else "–"
                verdict = "fails" if found.is_failing else "holds"
            rows.append(
                [str(study.pk), study.rate, study.feed.name, label_of(study.fiscal_year), study.state, rate, verdict]
            )
            data.append(described(study) | {"proposed_rate": rate, "verdict": verdict})
        headings = ["study", "rate", "feed", "year", "state", "comes to", "verdict"]
        self.report({"studies": data}, table(rows, headings, {0, 5}) if rows else "There is no rate study yet.")

    def add(self, *, feed: str, rate: str, year: int, costs: str | None, note: str, **options: Any) -> None:
        fields = {
            "opening_balance": number_named("--opening-balance", options["opening_balance"]),
            "expected_units": number_named("--expected-units", options["expected_units"]),
            "places": options["decimals"],
            "proposed_rate": number_named("--proposed-rate", options["proposed_rate"]),
        }
        done = studies.draft(
            feed=feeds.named(feed),
            rate=rate,
            fiscal_year=year,
            fields={"note": note.strip(), **{name: each for name, each in fields.items() if each is not None}},
            costs=costs_in(costs) if costs else [],
            is_dry_run=options["dry_run"],
            actor=self.actor,
            now=self.now,
        )
        self._drafted(done)

    def costs(self, *, study: int, file: str, dry_run: bool, **options: object) -> None:
        done = studies.replace_costs(
            study=studies.named(study), costs=costs_in(file), is_dry_run=dry_run, actor=self.actor, now=self.now
        )
        self._drafted(done)

    def shared(self, **options: object) -> None:
        taken = [(each, studies.taken_of(each)) for each in SharedCost.objects.all()]
        told = "\n".join(line for each in taken for line in shared_lines(*each)) or "No cost is shared yet."
        self.report({"shared": [shared_data(*each) for each in taken]}, told)

    def share(self, *, file: str, year: int, dry_run: bool, **options: object) -> None:
        try:
            with piped.opened(file) as content:
                costs = studies.read_shared(content, year)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        done = studies.load_shared(costs=costs, is_dry_run=dry_run, actor=self.actor, now=self.now)
        would = "would be " if dry_run else ""
        lines = [f"{done.added:,} {would}added, {done.replaced:,} {would}replaced."]
        lines += [line for each in done.taken for line in shared_lines(*each)]
        data = [shared_data(*each) for each in done.taken]
        counts = {"added": done.added, "replaced": done.replaced, "dry_run": dry_run}
        self.report({"shared": data} | counts, "\n".join(lines))

    def _drafted(self, done: Drafted) -> None:
        """Report a draft, and what it comes to."""
        found = done.studied
        would = "Nothing was stored. " if done.is_dry_run else ""
        next_step = "" if done.is_dry_run else f"\nNext: `manage.py rate_study adopt {found.study.pk}`."
        told = f"{would}{done.costs:,} cost{'' if done.costs == 1 else 's'} read."
        data = described(found.study) | data_of(found) | {"costs": done.costs, "dry_run": done.is_dry_run}
        if done.is_dry_run and not RateStudy.objects.filter(pk=found.study.pk).exists():
            data["study"] = None
        self.report(data, "\n".join([told, *lines_of(found)]) + next_step)

    def show(self, *, study: int, **options: object) -> None:
        found = studies.studied(studies.named(study))
        self.report(described(found.study) | data_of(found), "\n".join(lines_of(found)))

    def attempt(self, *, study: int, **options: object) -> None:
        found = studies.studied(studies.named(study))
        tried = studies.try_proposed(found, now=self.now, progress=self.progress)
        if tried is None:
            raise CommandError(f"{found.study} has no rate yet, or no closed month to try it on.")
        lines = trying.words.text_of(tried)
        lines += ["", table(trying.words.pi_rows(tried), ["PI", "charged", "would be", "difference"], {1, 2, 3})]
        self.report(trying.words.data_of(tried), "\n".join(lines))

    def export(self, *, study: int, output: str, **options: object) -> None:
        ending = Path(output).suffix.lower()
        if ending not in (".xlsx", ".pdf"):
            raise CommandError(
                f"{output} does not end in .xlsx or .pdf: a study is written as a workbook or as a PDF.", returncode=2
            )
        found = studies.studied(studies.named(study))
        if ending == ".pdf":
            tried = studies.try_proposed(found, now=self.now, progress=self.progress)
            content = studies.as_pdf(found, tried, today=timezone.localdate(self.now))
        with whole(Path(output)) as file:
            if ending == ".pdf":
                file.write(content)
            else:
                studies.write_workbook(found, file)
        self.report({"study": study, "file": output}, f"{found.study} is in {output}.")

    def adopt(self, *, study: int, **options: object) -> None:
        done = studies.adopt(study=studies.named(study), actor=self.actor, now=self.now)
        self.report(
            described(done.study) | data_of(done),
            f"{done.study} is adopted. Its rate is {rate_text(done)}, and it never changes.",
        )


def number_named(option: str, text: str | None) -> Decimal | None:
    """Return the number that an option gives; raise CommandError for what is none."""
    if text is None:
        return None
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * number_of(text.removeprefix("-"))
    except NotUnderstood as error:
        raise CommandError(f"{option}: {error}", returncode=2) from error


def costs_in(file: str) -> list[CostPool]:
    try:
        with piped.opened(file) as content:
            return studies.read_costs(content)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from error


def shared_lines(shared: SharedCost, taken: Sequence[Taken]) -> list[str]:
    """Say a shared cost for a person: a line for it, and one for each part."""
    currency = Policy.objects.current().currency
    state = "locked" if shared.locked_at else "open"
    lines = [f"{shared}: {shared.get_kind_display().lower()}, shared by {shared.base}, {state}."]
    for each in taken:
        excluded = f", excluded {rounded(each.cost.excluded, currency)}" if each.cost.excluded else ""
        study = f"study {each.study.pk}" if each.study else "no study yet"
        amount = rounded(each.cost.amount, currency)
        lines.append(f"  {str(each.part):<30} {plain(each.part.share):>8} {amount:>16}{excluded}  {study}")
    return lines


def shared_data(shared: SharedCost, taken: Sequence[Taken]) -> dict[str, Any]:
    """Return a shared cost as --json has it."""
    return {
        "cost": shared.name,
        "fiscal_year": shared.fiscal_year,
        "kind": shared.kind,
        "shared_by": shared.base,
        "locked_at": shared.locked_at,
        "parts": [
            {
                "feed": each.part.feed.name,
                "rate": each.part.rate,
                "share": plain(each.part.share),
                "amount": format(each.cost.amount, "f"),
                "excluded": format(each.cost.excluded, "f"),
                "study": each.study.pk if each.study else None,
            }
            for each in taken
        ],
    }


def described(study: RateStudy) -> dict[str, Any]:
    """Return a study as --json has it."""
    return {
        "study": study.pk,
        "feed": study.feed.name,
        "rate": study.rate,
        "fiscal_year": study.fiscal_year,
        "state": study.state,
        "adopted_at": study.adopted_at,
    }


def data_of(found: Studied) -> dict[str, Any]:
    return {
        "figures": studies.as_data(found.figures),
        "findings": [{"finding": each.code, "fails": each.is_bad, "message": each.text} for each in found.findings],
    }


def rate_text(found: Studied) -> str:
    figures = found.figures
    if figures.rate is None:
        return "not known"
    return f"{number_text(figures.rate)} {figures.currency} a {figures.unit}"


def lines_of(found: Studied) -> list[str]:
    """Say a study for a person: the equation, then costs, use, payers, and what is wrong."""
    figures, currency = found.figures, found.figures.currency

    def money(label: str, amount: Any) -> str:
        return f"  {label:<34}{rounded(amount, currency):>16}"

    lines = [f"{found.study}: {found.study.get_state_display().lower()}. The rate is {rate_text(found)}.", ""]
    for cost in figures.costs:
        excluded = f"  (excluded: {rounded(cost.excluded, currency)})" if cost.excluded else ""
        lines.append(money(f"{cost.name}, {CostPool.Kind(cost.kind).label.lower()}"[:33], cost.amount) + excluded)
    break_even = number_text(figures.break_even) if figures.break_even is not None else "–"
    lines += [
        money("Costs of the year", figures.allowable),
        money("Recovered at list price", figures.recovered),
        money("Balance of the years before", figures.opening_balance),
        money("Balance carried forward", figures.balance),
        money("To be recovered", figures.to_recover),
        f"  {'Units':<34}{for_people(figures.units):>16}",
        f"  {'Break-even rate':<34}{break_even:>16}",
        "",
    ]
    for who, paid in (("Federal awards", figures.sponsored), ("Other internal users", figures.others)):
        rate = paid.rate(figures.places)
        if rate is not None:
            lines.append(f"  {who} paid {number_text(rate)} for a {figures.unit}.")
    months = ", ".join(iso_month(each.month) for each in figures.use) or "none"
    lines.append(f"  Priced months of the year: {months}.")
    lines += [f"  {'FAILS: ' if each.is_bad else ''}{each.text}" for each in found.findings]
    return lines
