"""What can go wrong in training. Each message is a whole sentence that says what to do."""

from __future__ import annotations


class TrainingError(Exception):
    """Base of the family; views and the API turn it into a message with a 4xx status."""

    status = 400


class Invalid(TrainingError):
    """Input that cannot be accepted; `errors` maps a field to what is wrong with it. A message may be what was told."""

    status = 422

    def __init__(self, message: object, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or {}


class WrongState(TrainingError):
    """The run, round or version is not in a state that allows what was asked."""

    status = 409


class RunLost(TrainingError):
    """Another worker holds the run now; this one lets go of it."""

    status = 409


class TurnLost(TrainingError):
    """Another worker holds the turn of the chat now, or its person ended the chat; this one lets go of it."""

    status = 409


class SpeakerGone(TrainingError):
    """The process of the model that answers chats has ended."""

    status = 409


class FolderBusy(TrainingError):
    """A process of an earlier attempt still works in the run's folder."""

    status = 409


class NotKept(TrainingError):
    """What a run made lies on its machine, and could not be put into the bucket that all share."""

    status = 409


class GateClosed(TrainingError):
    """A promotion without a passing gate report."""

    status = 409
