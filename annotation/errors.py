"""What can go wrong in annotation. Each message is a whole sentence that says what to do."""

from __future__ import annotations


class AnnotationError(Exception):
    """Base of the family; views and the API turn it into a message with a 4xx status."""

    status = 400


class Invalid(AnnotationError):
    """Input that cannot be accepted; `errors` maps a field to what is wrong with it."""

    status = 422

    def __init__(self, message: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or {}


class CampaignClosed(AnnotationError):
    """The campaign is not open for what was asked."""

    status = 409


class NotAgreed(AnnotationError):
    """The person was not told yet what they may have to read in this campaign."""

    status = 409


class NotQualified(AnnotationError):
    """The person has to pass the campaign's test first, or was paused and waits for a lead."""

    status = 409


class TooMany(AnnotationError):
    """The person has as many of these as one may have at a time."""

    status = 409


class LeaseLost(AnnotationError):
    """The seat went to somebody else; what was typed is kept as a draft."""

    status = 409
