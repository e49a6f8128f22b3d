"""Recipes that hold a judge against people before it decides what a policy is paid for. Card 16."""

from __future__ import annotations

from training.recipes.base import Recipe, knob, part


@part("evaluate", "judge-audit", target="training.core.evaluate.judge_audit:judge_audit")
class JudgeAudit:
    """Precision and recall of a judge against people, by answer. CGPO's judges, arXiv:2409.20370, section 4.2."""

    judged_cost: float = knob(0.0, "cost above which the cost model stops an answer; 0 is the border it learned")
    judged_chance: float = knob(
        0.5, "least chance of keeping a principle; below it the principle model stops an answer", low=0.01, high=0.99
    )
    least_precision: float = knob(
        0.8, "lowest precision with which a judge is to be trusted; below it there is an alarm", low=0.0, high=1.0
    )
    least_recall: float = knob(
        0.9, "lowest recall with which a judge is to be trusted; below it there is an alarm", low=0.0, high=1.0
    )
    confidence: float = knob(0.95, "confidence of the intervals", low=0.5, high=0.999, advanced=True)
    rows_at_once: int = knob(32, "answers read side by side; lower it when memory runs out", low=1, advanced=True)


COST_AUDIT = Recipe(
    "cost-audit",
    title="Audit of a cost model as a judge",
    summary="Holds what it calls unsafe against people's labels of both answers: precision and recall, and where not.",
    kind="evaluate",
    view="safer_pairs",
    parts=(JudgeAudit(),),
    source="arXiv:2409.20370",
    starts="cost",
)
COST_AUDIT_SINGLE = Recipe(
    "cost-audit-single",
    title="Audit of a cost model on single answers",
    summary="Holds what it calls unsafe against people's labels of single answers: precision and recall, where not.",
    kind="evaluate",
    view="safety",
    parts=(JudgeAudit(),),
    source="arXiv:2409.20370",
    starts="cost",
)
PRINCIPLE_AUDIT = Recipe(
    "principle-audit",
    title="Audit of a principle model as a judge",
    summary="Holds which principles it finds broken against people's answers: precision and recall, by principle.",
    kind="evaluate",
    view="principles",
    parts=(JudgeAudit(),),
    source="arXiv:2409.20370",
    starts="reward",
)
AUDITS = (COST_AUDIT.name, COST_AUDIT_SINGLE.name, PRINCIPLE_AUDIT.name)
