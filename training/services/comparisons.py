"""What a gate compared, to be looked at once it is over: the same prompt, the new policy's answer and the old one's."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from annotation.feedback import kind
from annotation.messages import Message, from_columns
from annotation.models import Feedback
from training.models import Round, Run
from training.services.gates import batch
from training.services.sampling import output_rows


@dataclass(frozen=True)
class Comparison:
    """One held-out prompt with both policies' answers, and what people said about them."""

    id: str
    messages: list[Message]
    candidate: str
    current: str
    people: float | None  # share that preferred the candidate, a tie counts one half; None: nobody was asked
    reward_preference: float | None  # positive: the reward model prefers the candidate


def comparisons(*, round: Round, limit: int) -> list[Comparison]:
    """Return up to `limit` prompts with the candidate's and the current policy's answer, those people judged first.

    Shows which answer is whose: only for a round whose comparisons are over.
    """
    run = Run.objects.filter(round=round, purpose="gate", state=Run.State.SUCCEEDED).first()
    if run is None:
        return []
    shares = people_shares(round)
    prefix = f"{batch(round)}-"
    judged: list[Comparison] = []
    others: list[Comparison] = []
    for row in output_rows(run, "comparisons"):
        people = shares.get(f"{prefix}{row['id']}")
        kept = others if people is None else judged
        if len(kept) < limit:
            texts = row["candidate"]["text"], row["current"]["text"]
            kept.append(Comparison(str(row["id"]), from_columns(row), *texts, people, row.get("reward_preference")))
        if len(judged) >= limit:
            break
    return (judged + others)[:limit]


def people_shares(round: Round) -> dict[str, float]:
    """Return, by the task's external id, the share of people who preferred the candidate; a tie counts one half."""
    shares: dict[str, list[float]] = defaultdict(list)
    judged = Feedback.objects.current().filter(task__campaign=round.loop.campaign_id, task__batch=batch(round))
    rows = judged.values_list("kind", "payload", "task__external_id", "task__meta")
    for kind_name, payload, external_id, meta in rows:
        value = kind(kind_name).scale_value(payload) or 0
        for_candidate = value if meta["candidate"] == 0 else -value
        shares[external_id].append(0.5 if for_candidate == 0 else float(for_candidate > 0))
    return {external_id: sum(values) / len(values) for external_id, values in shares.items()}
