"""The files that a person has yet to import: kept in the session, each with the source and month it is taken for."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest
from django.utils import timezone

from ... import importing
from ...files.received import display_name, local_copy, store_chunks
from ...importing.outcomes import OfAnotherSource, WouldWithdraw
from ...models import Import, Source, StoredFile
from ...readers import FileError, open_delivery
from ...readers.manifests import names_in_manifest

# Where a session keeps them.
CHOSEN = "chosen_files"


@dataclass
class Row:
    """A file that was uploaded and waits for its import, as a session keeps it."""

    file: int
    name: str
    source: str = ""
    period: str = ""
    replace: bool = False
    force: bool = False
    # What an earlier attempt lacked: `replace`, `force`; and what it said.
    needs: list[str] = field(default_factory=list)
    note: str = ""
    is_unreadable: bool = False
    guess: str = ""
    key: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


class Chosen:
    """The files that a person has yet to import: kept in the session, so that they survive a reload and an error."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        rows = [Row(**each) for each in request.session.get(CHOSEN, [])]
        self.stored = StoredFile.objects.in_bulk([row.file for row in rows])
        self.gone = [row.name for row in rows if row.file not in self.stored]
        self.rows = [row for row in rows if row.file in self.stored]
        if self.gone:
            self.save()

    def save(self) -> None:
        self.request.session[CHOSEN] = [asdict(row) for row in self.rows]

    def add(self, files: Iterable[UploadedFile], broken: Collection[str]) -> None:
        """Store files by their hash, and put each on the list with the source and month that its name speaks of.

        One takes the place of the file of its name that is `broken`, by its key.
        """
        for file in files:
            stored = store_chunks(file.chunks(), now=timezone.now())
            name = display_name(file.name or "")
            if any(row.file == stored.pk and row.name == name for row in self.rows):
                continue
            self.stored[stored.pk] = stored
            source, note = guessed_source(stored, name)
            row = Row(stored.pk, name, source, importing.period_in_name(name), guess=source, note=note)
            row.is_unreadable = bool(note)
            at = next((at for at, old in enumerate(self.rows) if old.name == name and old.key in broken), None)
            if at is None:
                self.rows.append(row)
                continue
            # The file as it was corrected, of what was said of the broken one.
            old = self.rows[at]
            row.source, row.period = old.source or row.source, old.period or row.period
            self.rows[at] = row
        self.save()

    def add_again(self, imported: Import) -> None:
        """Put the files of an import that was refused on the list, with what it lacked."""
        lacked = lacking(imported.errors)
        files = imported.imported_files.select_related("file").order_by("number")
        for name, file in dict.fromkeys((each.name.removesuffix(f"/{each.member}"), each.file) for each in files):
            self.rows = [row for row in self.rows if (row.file, row.name) != (file.pk, name)]
            self.stored[file.pk] = file
            self.rows.append(
                Row(
                    file.pk,
                    name,
                    imported.source.name if imported.source else "",
                    imported.expected_period or importing.period_in_name(name),
                    **lacked,
                )
            )
        self.save()

    def take(self, said: "Iterable[tuple[Row, forms.Form]]") -> None:
        """Note what a person said of each file."""
        for row, form in said:
            form.full_clean()
            data = form.cleaned_data
            if "source" in data:
                row.source = data["source"].name if data["source"] else ""
            row.period = data.get("period", form["period"].value() or "")[:16]
            row.replace = data.get("replace", row.replace)
            row.force = data.get("force", row.force)
            if form.has_changed() and not row.is_unreadable:
                # It was about the file as it was said to be.
                row.note = ""
        self.save()

    def drop(self, keys: Iterable[str]) -> None:
        keys = set(keys)
        self.rows = [row for row in self.rows if row.key not in keys]
        self.save()


def lacking(errors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a refusal said of a file, and the tick boxes that would let it in."""
    steps = {error.get("step", "") for error in errors}
    needs = [name for name, of in (("replace", WouldWithdraw), ("force", OfAnotherSource)) if of.step in steps]
    # What was confirmed before is refused for another reason now, and need not be confirmed again.
    confirmed = any(error.get("confirmed") for error in errors)
    return {
        "needs": [*needs, *(["force"] if confirmed else [])],
        "note": " ".join(error["message"] for error in errors[:2]),
        "force": confirmed,
    }


def guessed_source(stored: StoredFile, name: str) -> tuple[str, str]:
    """Return the source that a file's name, or those of an archive's members, fits, and what is wrong with the file."""
    guess, note = Source.objects.for_file_name(name), ""
    try:
        path = local_copy(stored)
        parts = [] if names_in_manifest(path) else open_delivery([path], [name], beside=False)
    except FileError as error:
        parts, note = [], " ".join(problem.message for problem in error.problems[:2])
    if guess is None and parts:
        guesses = {Source.objects.for_file_name(part.name) for part in parts}
        guess = guesses.pop() if len(guesses) == 1 else None
    return guess.name if guess else "", note
