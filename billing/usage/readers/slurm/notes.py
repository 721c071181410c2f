"""What people are told about the jobs of a file, beside how many there are."""

from collections.abc import Mapping

from ....texts import quoted

# What a measure comes to where nothing tells of it.
_UNTOLD = {"CPUs": "core-hours", "nodes": "node-hours", "memory": "GiB-hours", "billing": "billing-hours"}


def notes_of(found: Mapping[str, int], states: Mapping[str, int], marked: str) -> list[str]:
    """Return sentences about what was found: see `Jobs.found`, `Jobs.states` and `Jobs.marked`."""
    said = {
        "running": "Still running: {}. Use so far is read, and a later file replaces it.",
        "late": "Ran for longer than from start to end in the file: {}. The time that sacct says they ran counts.",
        "stray": "Steps that do not follow the line of their job: {}. Steps are not counted, so check that the export "
        "has the jobs too.",
        "marked": f"ReqMem that is no amount of memory, such as {quoted(marked)}: {{}}. The number holds Slurm's mark "
        "for memory per CPU. Memory is taken from AllocTRES, or else from the number without the mark.",
        **{what: f"No {what} in the file: {{}}, with 0 {unit}." for what, unit in _UNTOLD.items()},
    }
    notes = [
        text.format(f"{number:,}" if what == "stray" else _jobs(number))
        for what, text in said.items()
        if (number := found.get(what, 0))
    ]
    return notes + [
        f"In the state {quoted(state)}, which is not known here: {_jobs(number)}. It is charged as any other state."
        for state, number in sorted(states.items())
    ]


def _jobs(number: int) -> str:
    return f"{number:,} {'job' if number == 1 else 'jobs'}"
