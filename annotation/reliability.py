"""How far a campaign's judgements can be trusted: agreement, people, policies and what else decides, as one report.

The report is JSON: it is stored (`models.QualityReport`), shown on the quality page and sent by REST as it is. People
appear under their pseudonyms. Reading it costs one pass over the newest judgements, so it is made in the background.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from annotation import gold
from annotation.agreement import Agreement, agreement, agreement_of_pairs
from annotation.feedback import FeedbackType, kind
from annotation.messages import text_of
from annotation.models import Campaign, Feedback, Gold, QualityReport
from annotation.quality import bias, pace
from annotation.quality.labels import USUAL, Reliability, dawid_skene
from annotation.quality.shares import share
from annotation.quality.strengths import MOST, Estimate, Game, aware, bradley_terry
from annotation.quality.strengths import USUAL as GAMES

# The newest judgements: more would narrow the intervals by little.
NEWEST = 20_000
# Comparisons from which people's rationality is estimated; the joint fit costs most of all.
COMPARISONS = 5_000
SLICES = 12  # batches, rounds and policies shown of each, the largest first
UNSURE = 200  # items kept, the least certain first
PAIRS = 100  # of people, those who share most
BY = ("all", "batch", "round", "policy")


@dataclass(frozen=True)
class Judged:
    """One standing judgement as figures see it."""

    feedback: int
    task: int
    person: str  # pseudonym
    payload: dict[str, Any]
    shown_order: Sequence[int]
    seconds: float | None
    read: Sequence[float | None]
    batch: str
    round: Any
    origins: Sequence[str]
    prompt_words: int
    texts: Sequence[str]


def report(campaign: Campaign) -> dict[str, Any]:
    """Return the figures of a campaign; of simulated people, and said so, where only those have judged. 3 statements.

    `agreement`: one entry for each dimension and slice. `pairs`: of each two people, on the first dimension. `people`:
    reliability, rationality, pace and signs of each; how often one is right is not defined (None) of who shares no item
    with anybody, because there the model knows what is usual and nothing about the person.
    `policies`: ranked by Bradley and Terry's model. `bias`: what else decides. `unsure`: items to ask again.
    `gold`: how often each person is right where the answer is known. A person's `position`: how often they preferred
    what stood first on their screen, and whether what stood there was balanced.
    """
    feedback_kind = kind(campaign.kind)
    standing = Feedback.objects.current().filter(campaign=campaign)
    simulated = not standing.filter(user__is_simulated=False).exists()
    judged = list(_judged(campaign, simulated=simulated))
    units = _units(feedback_kind, judged)
    dimensions = feedback_kind.dimensions(campaign.options)
    names = [one.name for one in dimensions]
    votes = {unit: said for unit, (_, said) in units[names[0]].items()} if names else {}
    model = dawid_skene(votes, smoothing=USUAL)
    games = list(_games(feedback_kind, judged))
    return {
        "judgements": len(judged),
        "simulated": simulated and bool(judged),
        "dimension": names[0] if names else "",
        "agreement": list(_slices({one.name: one.ordered for one in dimensions}, units, judged)),
        "pairs": [asdict(one) for one in agreement_of_pairs(votes.values())[:PAIRS]],
        "people": _people(feedback_kind, campaign, judged, model, games, shared=_shared(votes)),
        "policies": _policies(games),
        "bias": _plain(asdict(bias.biases(list(_choices(feedback_kind, judged))))),
        "unsure": _unsure(model),
        "gold": _gold(feedback_kind, campaign, judged),
    }


def _judged(campaign: Campaign, *, simulated: bool) -> Iterator[Judged]:
    rows = (
        Feedback.objects.current()
        .filter(campaign=campaign, user__is_simulated=simulated, is_review=False)
        .order_by("-id")
        .values_list(
            *("id", "task_id", "user__pseudonym", "payload", "shown_order", "active_seconds", "seconds", "behaviour"),
            *("task__batch", "task__meta", "task__content"),
        )[:NEWEST]
    )
    for id_, task, person, payload, order, active, seconds, behaviour, batch, meta, content in rows.iterator(500):
        texts = [text_of(one.get("parts") or one["text"]) for one in content["completions"]]
        prompt = sum(len(text_of(one["content"]).split()) for one in content["messages"])
        yield Judged(
            feedback=id_,
            task=task,
            person=person,
            payload=payload,
            shown_order=order,
            seconds=seconds if active is None else active,
            read=(behaviour or {}).get("read") or [],
            batch=batch,
            round=meta.get("round"),
            origins=meta.get("origins") or [],
            prompt_words=prompt,
            texts=texts,
        )


# Dimension → (item, answer) → what people said as values, and as categories.
Said = tuple[dict[str, int], dict[str, str]]
Units = dict[str, dict[tuple[int, int], Said]]


def _units(feedback_kind: FeedbackType, judged: Sequence[Judged]) -> Units:
    units: Units = defaultdict(lambda: defaultdict(lambda: ({}, {})))
    for one in judged:
        for point in feedback_kind.points(one.payload):
            values, categories = units[point.dimension][one.task, point.place]
            values[one.person], categories[one.person] = point.value, point.category
    return units


def _slices(ordered: Mapping[str, bool], units: Units, judged: Sequence[Judged]) -> Iterator[dict[str, Any]]:
    """Yield the agreement on each dimension: of all items, and of the largest batches, rounds and policies."""
    slices: dict[tuple[str, str], set[int]] = defaultdict(set)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for one in judged:
        found = [("all", "")]
        found += [("batch", one.batch)] if one.batch else []
        found += [("round", str(one.round))] if one.round is not None else []
        found += [("policy", origin) for origin in sorted(set(one.origins)) if origin]
        for key in found:
            slices[key].add(one.task)
            counts[key] += 1
    for by in BY:
        keys = sorted((key for key in slices if key[0] == by), key=lambda key: (-counts[key], key))[:SLICES]
        if by != "all" and len(keys) < 2:
            continue  # one slice is all there is
        for key in keys:
            for name, has_order in ordered.items():
                of_slice = {unit: said for unit, said in units[name].items() if unit[0] in slices[key]}
                values = {unit: said[0] for unit, said in of_slice.items()}
                classes = {unit: said[1] for unit, said in of_slice.items()}
                figures: Agreement = agreement(values, classes, ordered=has_order)
                kept = {field: value for field, value in asdict(figures).items() if field != "reason_undefined"}
                yield {"by": by, "name": key[1], "dimension": name, **kept}


def _games(feedback_kind: FeedbackType, judged: Sequence[Judged]) -> Iterator[Game]:
    """Yield a comparison of two policies for each judgement of two answers that different ones wrote."""
    for one in judged:
        value = feedback_kind.scale_value(one.payload)
        if value is None or len(one.origins) != 2 or not all(one.origins) or one.origins[0] == one.origins[1]:
            continue
        share = 0.5 if not value else float(value > 0)
        yield Game(one.origins[0], one.origins[1], share, one.person, one.task)


def _policies(games: Sequence[Game]) -> list[dict[str, Any]]:
    if not games or len({name for game in games for name in game[:2]}) > MOST:
        return []
    ranking = bradley_terry(games, prior=GAMES)
    return [{"name": name, **asdict(estimate)} for name, estimate in ranking.strengths.items()]


def _choices(feedback_kind: FeedbackType, judged: Sequence[Judged]) -> Iterator[bias.Choice]:
    for one in judged:
        value = feedback_kind.scale_value(one.payload)
        if not value or len(one.texts) != 2:
            continue
        chosen = 0 if value > 0 else 1
        best, other = one.texts[chosen], one.texts[1 - chosen]
        yield bias.Choice(
            stood_first=one.shown_order[0] == chosen,
            doublings=bias.doublings(best, other),
            marks=bias.marks(best) - bias.marks(other),
            seconds=one.seconds,
            person=one.person,
            item=one.task,
        )


def _people(
    feedback_kind: FeedbackType,
    campaign: Campaign,
    judged: Sequence[Judged],
    model: Reliability[Any, str],
    games: Sequence[Game],
    *,
    shared: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return each person's figures, who judged most first; `shared`: how much of theirs somebody else judged too."""
    works = [
        pace.Work(
            person=one.person,
            item=one.task,
            words=one.prompt_words + sum(len(text.split()) for text in one.texts),
            seconds=one.seconds,
            verdict=" / ".join(
                feedback_kind.tally(one.payload, options=campaign.options, shown_order=one.shown_order)[:3]
            ),
            least_read=min((share for share in one.read if share is not None), default=None),
            feedback=one.feedback,
        )
        for one in judged
    ]
    shown = pace.signs(works)
    newest = games[:COMPARISONS]
    rationality: Mapping[Any, Estimate] = {}
    if newest and len({name for game in newest for name in game[:2]}) <= MOST:
        rationality = aware(newest).rationality
    weights = weights_of(model, {person: found.judgements for person, found in shown.items()})
    positions = _positions(feedback_kind, judged)
    people = []
    for person, found in sorted(shown.items(), key=lambda pair: (-pair[1].judgements, str(pair[0]))):
        known = shared.get(str(person), 0) > 0
        beta = rationality.get(person)
        people.append(
            {
                "annotator": person,
                "judgements": found.judgements,
                "shared": shared.get(str(person), 0),
                "accuracy": model.accuracy(str(person)) if known else None,
                "chance": max(model.priors.values(), default=None) if known else None,
                "information": model.information(str(person)) if known else None,
                "weight": weights.get(str(person), 1.0),
                "rationality": asdict(beta) if beta else None,
                "position": positions.get(str(person)),
                "pace": _plain(asdict(found)),
                "worth_a_look": found.worth_a_look or (beta is not None and beta.high < 0),
            }
        )
    return people


def _positions(feedback_kind: FeedbackType, judged: Sequence[Judged]) -> dict[str, dict[str, Any]]:
    """Return, by person, how often they preferred what stood first, and in how many items the row's first one did.

    The second is what was drawn for them: it says whether their screens were balanced at all.
    """
    chosen: dict[str, list[bool]] = defaultdict(list)
    drawn: dict[str, list[bool]] = defaultdict(list)
    for one in judged:
        value = feedback_kind.scale_value(one.payload)
        if value is None or len(one.shown_order) != 2:
            continue
        drawn[one.person].append(one.shown_order[0] == 0)
        if value:
            chosen[one.person].append((value > 0) == (one.shown_order[0] == 0))
    return {
        person: {
            "first": asdict(share(sum(chosen[person]), len(chosen[person]))),
            "drawn": asdict(share(sum(of_one), len(of_one))),
        }
        for person, of_one in drawn.items()
    }


def weights_of(model: Reliability[Any, str], judgements: Mapping[Any, int]) -> dict[str, float]:
    """Return how much a judgement of each person should count in training: 1 in the mean over judgements.

    What one of their judgements tells about the true label (`Reliability.information`) over its mean. Who is right
    less often than by chance gets 0: their label is stored as said, and turned round it would help, but a loss cannot
    know. With one judgement an item nobody can be told apart, and all get nearly 1.
    """
    usable = {}
    for person in model.errors:
        upright = model.accuracy(person) * len(model.labels) > 1
        usable[person] = model.information(person) if upright else 0.0
    total = sum(judgements.get(person, 0) for person in usable)
    mean = sum(value * judgements.get(person, 0) for person, value in usable.items()) / total if total else 0.0
    return {person: value / mean if mean > 0 else 1.0 for person, value in usable.items()}


def _shared(votes: Mapping[Any, Mapping[str, str]]) -> dict[str, int]:
    """Return on how much each person judged somebody else said something too."""
    return Counter(person for said in votes.values() if len(said) > 1 for person in said)


def weight_by_person(campaign: Campaign) -> dict[str, float] | None:
    """Return each person's weight by pseudonym, as the report that is stored has it; None before there is one."""
    report = QualityReport.objects.filter(campaign=campaign).first()
    if report is None:
        return None
    return {one["annotator"]: round(one["weight"], 6) for one in report.figures["people"]}


def _unsure(model: Reliability[Any, str]) -> list[dict[str, Any]]:
    """Return the items whose label is least certain: of several answers of one, the least certain one counts."""
    by_task: dict[int, float] = {}
    for unit in model.posterior:
        by_task[unit[0]] = max(by_task.get(unit[0], 0.0), model.uncertainty(unit))
    ranked = sorted(by_task.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"task": task, "uncertainty": round(value, 6)} for task, value in ranked[:UNSURE] if value > 0]


def _gold(feedback_kind: FeedbackType, campaign: Campaign, judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return each person's share of things that are right, of the items that have gold; who has fewest right first.

    Of the judgements that stand against the gold that stands: whoever corrects gold corrects this.
    """
    known = {
        task: gold.GoldAnswer(payload, tolerance)
        for task, payload, tolerance in Gold.objects.filter(task__campaign=campaign).values_list(
            "task_id", "payload", "tolerance"
        )
    }
    hits: dict[str, list[bool]] = defaultdict(list)
    items: dict[str, set[int]] = defaultdict(set)
    for one in judged:
        if one.task in known:
            compared = gold.compare(feedback_kind, known[one.task], one.payload, options=campaign.options)
            hits[one.person] += [part.is_hit for part in compared]
            items[one.person].add(one.task)
    found = [
        {"annotator": person, "items": len(items[person]), **asdict(share(sum(right), len(right)))}
        for person, right in hits.items()
        if right
    ]
    return sorted(found, key=lambda row: (row["estimate"], row["annotator"]))


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it: tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
