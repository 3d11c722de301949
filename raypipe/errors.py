"""Errors a user can act on: each says what is wrong, with which input, and what to do about it."""

from __future__ import annotations

import json

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 + SIGINT, the shell's own convention."""


class RaypipeError(Exception):
    """An error with a remedy and an exit code; the base of all that raypipe raises on purpose.

    Args:
        message: One line that names the input and what is wrong with it.
        remedy: One line that says what to do; printed after the message.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[RaypipeError], tuple[str, str]]:
        # Errors cross process borders: the default pickling would drop the remedy.
        return type(self), (self.message, self.remedy)

    def to_json(self) -> str:
        """Return it as text, for a table or another process."""
        return json.dumps([type(self).__name__, self.message, self.remedy])


def from_json(text: str) -> RaypipeError:
    """Return the error that `RaypipeError.to_json` wrote."""
    name, message, remedy = json.loads(text)
    kinds = {kind.__name__: kind for kind in _kinds(RaypipeError)}
    return kinds[name](message, remedy)


def _kinds(base: type[RaypipeError]) -> list[type[RaypipeError]]:
    return [base, *(kind for own in base.__subclasses__() for kind in _kinds(own))]


class UsageError(RaypipeError):
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class ConfigError(RaypipeError):
    """A setting, a plug-in name or a weights file does not fit."""

    exit_code = 3


class InputError(RaypipeError):
    """An input is missing, unreadable or not what it should be."""

    exit_code = 4


class MissingError(InputError):
    """An input is not there."""


class StoreError(InputError):
    """A store refuses or cannot be reached; the fault is not the input's."""


class LabelError(InputError):
    """Labels that do not fit the clusters they are meant for."""


class TooManyRejectsError(RaypipeError):
    """More inputs were rejected than the limit allows; the run's tables are complete otherwise."""

    exit_code = 5


class ClusterUnavailableError(RaypipeError):
    """No Ray cluster could be reached or started."""

    exit_code = 6
