"""What the lab says when it cannot do something."""


class LabError(Exception):
    """One sentence for the person at the terminal; the command ends with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
