"""Puts Google's cloud project where FOCUS has room for it: into the sub account, column by column."""

from collections.abc import Mapping

import numpy as np

from .cells import id_of
from .coded import Coded, coded, combined, constant
from .projects import PROJECT, project_of
from .values import Memo

WANTED = (PROJECT, "SubAccountId", "SubAccountName", "BillingAccountId")


class Projects:
    """Puts the cloud project of rows into their sub account; remembers what repeats."""

    def __init__(self) -> None:
        self._known = Memo(project_of)
        self._ids = Memo(id_of)

    def placed(self, columns: Mapping[str, Coded]) -> tuple[dict[str, Coded], int]:
        """Return the columns without `x_Project`, and how many rows have their project as sub account now.

        The sub account gives way where it is empty, or only repeats the billing account, as Google's does. Raises
        BadValue for what is no project.
        """
        placed = {name: column for name, column in columns.items() if name != PROJECT}
        given = [columns.get(name) or constant("", len(columns[PROJECT])) for name in WANTED]
        numbers, firsts = combined([column.codes for column in given])
        ids, names, marks = [], [], []
        for text, sub_account, sub_name, account in zip(*(column.at(firsts) for column in given), strict=True):
            project, name = self._known[text]
            is_placed = bool(project) and self._ids[sub_account] in ("", self._ids[account])
            ids.append(project if is_placed else sub_account)
            names.append(name if is_placed else sub_name)
            marks.append(is_placed)
        count = int(np.count_nonzero(np.array(marks)[numbers]))
        if count:
            for name, texts in (("SubAccountId", ids), ("SubAccountName", names)):
                of_combinations = coded(texts)
                placed[name] = Coded(of_combinations.codes[numbers], of_combinations.texts)
        return placed, count
