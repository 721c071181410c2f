"""Figures in boxes beside each other, at the head of a document: one row of a table for each."""

from collections.abc import Sequence
from typing import NamedTuple

from ..lettering import BOLD
from ..tagging import ROW_SCOPE
from .fitting import fitted, narrowed
from .paper import Paper
from .styles import ACCENT, GRAY, INK, LEFT, PALE, RIGHT, WHITE, Text

HEIGHT, GAP = 58.0, 8.0


class Tile(NamedTuple):
    label: str
    figure: str
    remark: str = ""


def set_tiles(paper: Paper, tiles: Sequence[Tile]) -> None:
    """Write figures, a box each; the last one is what they come to."""
    wide = (RIGHT - LEFT - GAP * (len(tiles) - 1)) / len(tiles)
    bottom = paper.y - HEIGHT
    with paper.structure.part("Table"):
        for index, each in enumerate(tiles):
            left = LEFT + index * (wide + GAP)
            is_total = index == len(tiles) - 1
            quiet, ink = (WHITE, WHITE) if is_total else (GRAY, INK)
            paper.box(left, bottom, wide, HEIGHT, ACCENT if is_total else PALE)
            with paper.structure.part("TR"):
                y = bottom + HEIGHT - 15
                paper.write(left + 9, y, each.label, Text(8.2, color=quiet), role="TH", attributes=ROW_SCOPE)
                style = narrowed(each.figure, Text(15, BOLD, ink), wide - 18)
                small = Text(7.6, color=quiet)
                paper.code.append(paper.structure.mark("TD"))
                paper.show(left + 9, bottom + HEIGHT - 35, f"{each.figure} " if each.remark else each.figure, style)
                if each.remark:
                    paper.show(left + 9, bottom + 9, fitted(each.remark, small, wide - 18), small)
                paper.code.append("EMC")
    paper.y = bottom - 24
