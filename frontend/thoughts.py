"""What became of a policy's thoughts and answers in a run: the figures' names, and how safe they were before and after.

They are those of `training.core.traces`, of a run whose knob `thinking` has thoughts read apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from frontend import charts

SAFE = ("thoughts_safe", "answers_safe")
FIGURES = {
    "thoughts_safe": gettext_lazy("Safe thoughts"),
    "answers_safe": gettext_lazy("Safe answers"),
    "thoughts_entropy": gettext_lazy("Entropy of thoughts, in nats per token"),
    "thoughts_entropy_top": gettext_lazy("Entropy of the fifth of their tokens that is least sure"),
    "reflections": gettext_lazy("Thoughts that turn on themselves, in 100 of their tokens"),
}
SIDES = (
    ("", gettext_lazy("all prompts")),
    ("_harmful", gettext_lazy("prompts that ask for harm")),
    ("_benign", gettext_lazy("other prompts")),
)
# Measured on held-out prompts at the end of a run, of the policy that it began from and of the one it made.
TIMES = (
    ("eval_{}_before", gettext_lazy("held-out prompts, before")),
    ("eval_{}", gettext_lazy("held-out prompts, after")),
)


def names() -> dict[str, str | Promise]:
    """Return what each figure is called: while it learned, and on held-out prompts before and after."""
    found: dict[str, str | Promise] = {}
    for figure, label in FIGURES.items():
        for end, side in SIDES:
            called = format_lazy("{}, {}", label, side) if end else label
            found[figure + end] = called
            found |= {form.format(figure + end): format_lazy("{}, {}", called, time) for form, time in TIMES}
    return found


def charts_of(metrics: Mapping[str, Any]) -> list[charts.Chart | None]:
    """Return the shares of safe thoughts and answers on held-out prompts, before and after, a chart for each side."""
    sides = SIDES[1:] if any(f"eval_{figure}_harmful" in metrics for figure in SAFE) else SIDES[:1]
    return [
        charts.interval_chart(
            [
                (when, metrics[form.format(figure + end)])
                for form, when in (("eval_{}_before", _("before")), ("eval_{}", _("after")))
                if form.format(figure + end) in metrics
            ],
            title=f"{FIGURES[figure]}, {side}",
            caption=_("By the cost model, on held-out prompts; thoughts that were cut off are not safe."),
            x_label=_("training"),
            y_label=_("share"),
            count_label=_("Answers"),
        )
        for figure in SAFE
        for end, side in sides
    ]
