"""What the scripts say, in the page's language: they read it from the page, so that it is translated like the rest."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

# Said by the page, and by the server where no script runs.
COVERED = _(
    "This is still covered. Show it before you judge it; whoever would rather not may skip it or stop, and it costs "
    "them nothing."
)
WORDS = {
    "kept": _("Draft kept"),
    "stored": _("Draft saved"),
    "not-kept": _("Not kept: the browser's storage is full"),
    "sending": _("Sending…"),
    "saved": _("All saved"),
    "waiting": _("{n} waiting to be sent"),
    "signed-out": _("Signed out"),
    "offline": _("The server cannot be reached. {n} kept in this browser; sending is tried again by itself."),
    "sign-in": _("You have been signed out. Nothing is lost: it stays in this browser and is sent once you are back."),
    "sign-in-link": _("Sign in again (new tab)"),
    "invalid": _("One answer needs a change before it can be stored."),
    "open": _("Open it"),
    "refused": _("One answer was not accepted by the server; it is kept in this browser."),
    "again": _("Send again"),
    "drop": _("Discard"),
    "close": _("Close"),
    "copy": _("Copy code"),
    "copied": _("Copied"),
    "not-copied": _("Not copied: the browser does not allow it"),
    "next": _("Next item. {done} of {total} judged."),
    "amend": _("An item you judged before, with your answer filled in."),
    "no-undo": _("There is nothing further back to undo."),
    "undo-wait": _("Undo needs the server, which cannot be reached now."),
    "covered": COVERED,
    "taken-back": _("Your last choice is taken back."),
    "given-again": _("Your choice is given again."),
    "more": _("New items have arrived."),
    "done": _("No item is waiting for you."),
    "guidelines": _("The guidelines have changed. Read them before you go on."),
    "read": _("Read"),
}
