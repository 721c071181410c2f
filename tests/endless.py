"""A part of a delivery that another process can be made to wait for, importable by that process."""

from io import BufferedReader

from billing.readers.parts import Part


class EndlessPart(Part):
    """A part whose path is a pipe, which a delivery never is: what opens it waits for whoever writes there."""

    def open(self) -> BufferedReader:
        return self.path.open("rb")
