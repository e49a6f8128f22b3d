"""What a recipe objects to, in the language of whoever asked for it."""

from __future__ import annotations

from annotation.told import of
from training.errors import Invalid
from training.recipes.base import RecipeError
from training.recipes.note import Note, note_of


def in_words(note: str) -> str:
    """Return what the recipes or the core say, in the language that is active."""
    return str(of(note.told)) if isinstance(note, Note) else note


def invalid(error: RecipeError, *, field: str = "") -> Invalid:
    """Return the error as one of a form or a request; what is said of no knob or slot is said of `field`, if given."""
    message = in_words(note_of(error))
    errors = {name: [in_words(text) for text in texts] for name, texts in error.errors.items()}
    return Invalid(message, errors or ({field: [message]} if field else {}))
