"""Whether a candidate could meet a gate's limits at all, were everything to go as well as it may.

Asked when they are set: a bound of few cases never comes down to a low limit. Who sets both would find it out at the
gate, candidate by candidate, after people have judged.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.utils.translation import gettext as _

from annotation.told import Told
from training.errors import Invalid
from training.recipes import gate_bounds
from training.recipes.loop import LoopSettings, spent
from training.services import suites

# Settings by which a suite, or the prompts of the safety test, may be too few to show anything.
OF_SUITE = ("gate_by", "gate_suite", "gate_category_minimum", "gate_maximum_refusals", "gate_maximum_loss")
OF_CERTIFICATE = (
    *("gate_bound", "gate_prompts", "gate_delta", "gate_unsafe_limit", "gate_cost_limit", "gate_cost_reach"),
)


def check(settings: LoopSettings, before: dict[str, Any] | None = None) -> None:
    """Raise Invalid at the field where a bound never reaches its limit, of what differs from the settings `before`."""
    every = (*OF_SUITE, *OF_CERTIFICATE)
    changed = {name for name in every if before is None or getattr(settings, name) != before[name]}
    if changed & {*OF_CERTIFICATE}:
        _certificate(settings)
    if settings.gate_suite and changed & {*OF_SUITE}:
        asked = [row for row in suites.read(settings.gate_suite) if not row.get("unsupported")]
        _categories(asked, settings)
        _refusals(asked, settings)
        _capability(asked, settings)


def _certificate(settings: LoopSettings) -> None:
    """Hold the safety test's bound against its limit, with what its first gate may spend of δ: later ones have less."""
    counted = settings.gate_bound == "clopper_pearson"
    limit = settings.gate_unsafe_limit if counted else settings.gate_cost_limit
    delta, n = spent(settings.gate_delta, 1), settings.gate_prompts
    floor = partial(gate_bounds.certified, bound=settings.gate_bound, delta=delta, reach=settings.gate_cost_reach)
    if floor(n) <= limit:
        return
    words: Callable[[float], Any] = suites.in_words if counted else "{:.2f}".format
    least, field = gate_bounds.least_cases(floor, limit), "gate_unsafe_limit" if counted else "gate_cost_limit"
    if least is None:
        message = _("No number of prompts at a gate proves {limit} by this bound. Allow more, or choose another bound.")
        raise _invalid(field, message.format(limit=words(limit)))
    message = _(
        "With {n} prompts even answers that are all safe do not prove {limit}, as their bound begins at {most}. Set "
        "gate_prompts to {least} or more, allow more, or choose another bound."
    )
    raise _invalid(
        "gate_prompts",
        message.format(n=n, limit=words(limit), most=_begins(floor(n)) if counted else words(floor(n)), least=least),
    )


def _refusals(asked: Sequence[dict[str, Any]], settings: LoopSettings) -> None:
    n, limit = sum(row["measure"] == "refusal" for row in asked), settings.gate_maximum_refusals
    message = _(
        "Of {n} safe prompts even none refused does not prove {limit} at most, as its bound begins at {most}. Take a "
        "suite with {least} safe prompts or more, or allow more refusals."
    )
    never = _("No number of safe prompts proves that {limit} at most are refused. Allow more, such as 10%.")
    _comes_down("gate_maximum_refusals", gate_bounds.refused, n, limit, message, never)


def _capability(asked: Sequence[dict[str, Any]], settings: LoopSettings) -> None:
    n, limit = sum(row["measure"] == "choice" for row in asked), settings.gate_maximum_loss
    message = _(
        "With {n} questions even {n} that only the candidate has right do not prove a loss of {limit} at most, as its "
        "bound begins at {most}. Take a suite with {least} questions or more, or allow more loss."
    )
    _comes_down("gate_maximum_loss", gate_bounds.lost, n, limit, message, message)  # enough questions show any loss


def _comes_down(field: str, bound: Callable[[int], float], n: int, limit: float, message: str, never: str) -> None:
    """Raise Invalid where the bound of `n` cases, all as good as may be, stays above the limit; of none nothing is."""
    if not n or bound(n) <= limit:
        return
    least = gate_bounds.least_cases(bound, limit)
    words = {"limit": suites.in_words(limit), "most": _begins(bound(n))}
    raise _invalid(field, (never if least is None else message).format(n=n, least=least, **words))


def _categories(asked: Sequence[dict[str, Any]], settings: LoopSettings) -> None:
    """Raise Invalid where a category has so few items that its bound never reaches what is wanted of each."""
    limit = settings.gate_category_minimum
    if not gate_bounds.by_bound(settings.gate_by, "category_minimum"):
        return
    counts = Counter(name for row in asked for name in suites.categories_of(row))
    small = sorted(name for name, count in counts.items() if gate_bounds.most_shown(count) < limit)
    if not small:
        return
    few = min(counts[name] for name in small)
    message = _(
        "With {n} items even {n} right ones do not prove {limit} in a category, as their interval begins at {most}: "
        "{names}. Take a suite with {least} items or more in each, want less, or set gate_by to estimate."
    )
    raise _invalid(
        "gate_suite",
        message.format(
            n=few,
            limit=suites.in_words(limit),
            most=suites.in_words(gate_bounds.most_shown(few)),
            names=", ".join(small[: suites.NAMED]),
            least=gate_bounds.least(limit) or "∞",
        ),
    )


def _begins(bound: float) -> Told:
    """Return a bound in words, up to a tenth of a per cent: just above its limit it must not read as the limit."""
    return suites.in_words(math.ceil(1000 * bound - 1e-6) / 1000)


def _invalid(field: str, message: str) -> Invalid:
    return Invalid(message, {field: [message]})
