"""What a run counted, in words: rows read and left out, prompts, answers, and what a guard held back."""

from __future__ import annotations

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

WORDS = {
    "read": _("Rows read"),
    "kept": _("Rows used"),
    "learned_from": _("Answers to prompts that the judge learned from, left out"),
    "divided": _("Answers on which people are divided, left out"),
    "unread_answers": _("Answers that the judge could not read, stopped"),
    "pairs": _("Pairs"),
    "trained_on": _("Rows trained on"),
    "audited": _("Pairs learned from, asked again after training"),
    "against": _("Of these, pairs that the policy goes against"),
    "held_out": _("Rows held out for measuring"),
    "left_out_as_held_out": _("Rows left out, since they are held out elsewhere"),
    "thrown_away": _("Rows no better than expected, not learned from"),
    "truncated": _("Prompts cut on the left"),
    "refused": _("Rows left out"),
    "unread": _("Rows that could not be read"),
    "measured": _("Rows measured on"),
    "weighed": _("Answers of which reward and worth are known"),
    "asked": _("Questions asked"),
    "learned_answers": _("Left out: answers to prompts that the model learned from"),
    "seen": _("Questions that nearly stand in what it learned from"),
    "scenarios": _("Scenarios"),
    "points": _("Points to be named"),
    "shown": _("Questions shown as examples"),
    "asked_with_image": _("Questions shown with their image"),
    "unsupported_image": _("Unsupported: questions with an image"),
    "unsupported_no_image": _("Unsupported: questions whose image is missing"),
    "unsupported_too_long": _("Unsupported: questions too long"),
    "attacked": _("Rows attacked with"),
    "people": _("People"),
    "models": _("Models"),
    "answers": _("Answers"),
    "failed": _("Failed"),
    "prompts": _("Prompts"),
    "harmful": _("Harmful prompts"),
    "completions": _("Answers written"),
    "cut_off": _("Answers cut off at their length"),
    "identical": _("Prompts with the same answer twice"),
    "unasked": _("Prompts that nobody is asked about"),
    "audit": _("Prompts of the audit slice"),
    "labelled": _("Pairs a model labelled"),
    "guard_prompts_blocked": _("Prompts held back by the guard"),
    "guard_answers_read": _("Answers read by the guard"),
    "guard_answers_blocked": _("Answers held back by the guard"),
    "guard_not_shown": _("Prompts with too few answers left"),
    "guard_failed": _("Texts the guard could not judge"),
    "refused_malformed": _("Left out: without the columns of their view"),
    "refused_several_turns": _("Left out: whole dialogues, of which refuel alone learns"),
    "refused_empty": _("Left out: prompt or answer empty"),
    "refused_identical": _("Left out: an answer compared with itself"),
    "refused_too_long": _("Left out: answer too long"),
    "refused_ends_inside": _("Left out: end of turn inside the answer"),
    "refused_images": _("Left out: images where text alone is read"),
    "refused_no_image": _("Left out: image missing or broken"),
    "refused_unlabelled": _("Left out: no label to learn from"),
    "refused_no_consensus": _("Left out: people do not agree"),
    "refused_repeated": _("Left out: said by another row already"),
    "refused_no_rival": _("Left out: no other answer with more or fewer points"),
    "refused_unlike": _("Left out: no correction of each other"),
    "refused_no_samples": _("Left out: no answers of the policy beside them"),
    "refused_unscored": _("Left out: not readable by the reward model"),
    "refused_no_trace": _("Left out: no reasoning that comes to what was said"),
    "refused_too_many": _("Left out: more answers to one prompt than can be ranked"),
    "refused_weightless": _("Left out: their annotator's weight is zero"),
    "refused_audit": _("Left out: audit slice, never trained on"),
}


def in_words(name: str) -> str:
    """Return what a count is called; one that nobody named here has its own name, with spaces."""
    if name in WORDS:
        return str(WORDS[name])
    return gettext("Rows %(name)s") % {"name": name.replace("_", " ")}
