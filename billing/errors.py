"""The one base of every refusal that a person can act on."""


class BillingError(Exception):
    """A request that cannot be carried out, with a message that says what was wrong and what to do.

    The errors themselves stand beside the code that raises them; every door catches this base:
    commands print it and exit with 1, pages show it.
    """
