"""How far a campaign's judgements can be trusted: agreement, people, policies and what else decides, as one report.

The report is JSON: it is stored (`models.QualityReport`), shown on the quality page and sent by REST as it is. People
appear under their pseudonyms. It is made of all judgements that stand, by the background, from evidence that is kept up
by counting only what changed (`annotation.evidence`); what is no sum, such as a model of everybody's reliability, is
fitted anew to the counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import combinations
from typing import Any

from annotation import evidence, gold
from annotation.agreement import agreement_of_pairs, cohen_kappa, of_patterns
from annotation.evidence import JOINT, Evidence
from annotation.feedback import FeedbackType, kind
from annotation.models import Campaign, Feedback, Gold, QualityReport, User
from annotation.quality import bias, pace
from annotation.quality.finiteness import are_finite
from annotation.quality.labels import USUAL, Reliability, dawid_skene
from annotation.quality.leaks import LEAST
from annotation.quality.shares import share
from annotation.quality.strengths import MOST, Estimate, Game, aware, bradley_terry
from annotation.quality.strengths import USUAL as GAMES
from annotation.rotation import MIXED

SLICES = 12  # batches, rounds and policies shown of each, the largest first
UNSURE = 200  # items kept, the least certain first
PAIRS = 100  # of people, those who share most
BY = ("all", "batch", "round", "policy")

# What was said of one item, or answer, as in `evidence.said_of` → how many they are.
Said = Counter[str]


def report(campaign: Campaign) -> dict[str, Any]:
    """Return the figures of a campaign; of simulated people, and said so, where only those have judged.

    `agreement`: one entry for each dimension and slice. `pairs`: of each two people, on the first dimension. `people`:
    reliability, rationality, pace and signs of each; how often one is right is not defined (None) of who shares no item
    with anybody, because there the model knows what is usual and nothing about the person.
    `policies`: ranked by Bradley and Terry's model. `bias`: what else decides. `unsure`: items to ask again.
    `gold`: how often each person is right where the answer is known. A person's `position`: how often they preferred
    what stood first on their screen, and whether what stood there was balanced. `ordinary`: what people do where no
    answer is known. What ends in `_alone` has no prior: of the judgements alone, as crowd-kit and evalica reckon it.
    SQL: see `evidence.of`, and four more.
    """
    feedback_kind = kind(campaign.kind)
    standing = Feedback.objects.current().filter(campaign=campaign)
    simulated = not standing.filter(user__is_simulated=False).exists()
    known = evidence.of(campaign, simulated=simulated)
    people = {person for person, _name in known.tables["pace"]}
    names: dict[int, str] = dict(User.objects.filter(pk__in=people).values_list("pk", "pseudonym"))
    dimensions = feedback_kind.dimensions(campaign.options)
    headline = dimensions[0].name if dimensions else ""
    times = {said: len(items) for said, items in known.items.items()}
    votes = {said: {names[who]: category for who, _v, category in evidence.votes_in(said)} for said in times}
    model = dawid_skene(votes, times=times, smoothing=USUAL)
    alone = dawid_skene(votes, times=times)
    judgements = known.tables["judged"].total()
    golds = list(Gold.objects.filter(task__campaign=campaign))
    mixed = [one.task_id for one in golds if one.retired_at is None and one.purpose in MIXED]
    return {
        "judgements": judgements,
        "simulated": simulated and judgements > 0,
        "dimension": headline,
        "agreement": list(_slices({one.name: one.ordered for one in dimensions}, known)),
        "pairs": [asdict(one) for one in agreement_of_pairs(votes.values(), times.values())[:PAIRS]],
        "people": _people(known, names, model, alone, shared=_shared(votes, times)),
        "policies": _policies(known),
        "bias": _plain(asdict(bias.biases(_choices(known), _timed(known)))),
        "unsure": _unsure(model, known.items),
        "gold": _gold(feedback_kind, campaign, golds, names, simulated=simulated),
        "ordinary": _ordinary(known, evidence.of_items(campaign, mixed, simulated=simulated), names),
    }


def _slices(ordered: Mapping[str, bool], known: Evidence) -> Iterator[dict[str, Any]]:
    """Yield the agreement on each dimension: of all items, and of the largest batches, rounds and policies."""
    counts: Counter[tuple[str, str]] = Counter()
    for of_part, judgements in known.tables["judged"].items():
        for part in _parts(*of_part):
            counts[part] += judgements
    shown: dict[tuple[str, str], dict[str, Said]] = {}
    for by in BY:
        parts = sorted((part for part in counts if part[0] == by), key=lambda part: (-counts[part], part))[:SLICES]
        if by == "all" or len(parts) > 1:  # else one slice is all there is
            shown |= {part: defaultdict(Counter) for part in parts}
    for (batch, round, origins, dimension, said), units in known.tables["votes"].items():
        for part in _parts(batch, round, origins):
            if part in shown:
                shown[part][dimension][said] += units
    for (by, name), by_dimension in shown.items():
        for dimension, has_order in ordered.items():
            figures = _agreement(by_dimension[dimension], ordered=has_order)
            yield {"by": by, "name": name, "dimension": dimension, **figures}


def _parts(batch: str, round: str, origins: str) -> Iterator[tuple[str, str]]:
    """Yield the slices that an item of this batch, round and these origins belongs to."""
    yield "all", ""
    if batch:
        yield "batch", batch
    if round:
        yield "round", round
    for origin in sorted(set(origins.split(JOINT))):
        if origin:
            yield "policy", origin


def _agreement(said: Said, *, ordered: bool) -> dict[str, Any]:
    """Return the figures of these items or answers."""
    patterns: Counter[tuple[tuple[int, str], ...]] = Counter()
    shared: dict[str, dict[int, str]] = {}
    for text, units in said.items():
        votes = list(evidence.votes_in(text))
        patterns[tuple(sorted((value, category) for _who, value, category in votes))] += units
        if len(votes) > 1:
            shared[text] = {who: category for who, _value, category in votes}
    people = {who for by_person in shared.values() for who in by_person}
    figures = of_patterns(patterns, ordered=ordered, people=len(people))
    if figures.items:
        figures = replace(figures, kappa=cohen_kappa(shared.values(), (said[text] for text in shared)))
    return {name: value for name, value in asdict(figures).items() if name != "reason_undefined"}


def _policies(known: Evidence) -> list[dict[str, Any]]:
    games = [
        Game(one, other, halves / (2 * judgements), item=number, times=judgements, alike=items)
        for number, ((one, other, judgements, halves), items) in enumerate(sorted(known.tables["games"].items()))
    ]
    if not games or len({name for game in games for name in game[:2]}) > MOST:
        return []
    ranking = bradley_terry(games, prior=GAMES)
    alone = _alone(games)
    return [
        {"name": name, **asdict(estimate), "value_alone": alone[name].value if name in alone else None}
        for name, estimate in ranking.strengths.items()
    ]


def _alone(games: Sequence[Game]) -> Mapping[str, Estimate]:
    """Return the strengths without a prior; none where they are not finite, or farther than real ones are."""
    if not are_finite(games):
        return {}
    try:
        return bradley_terry(games).strengths
    except ValueError:
        return {}


def _choices(known: Evidence) -> list[bias.Choice]:
    """Return what was preferred to what, items of which the same was preferred as one."""
    return [
        bias.Choice(
            stood_first=stood_first,
            doublings=sign * longer / bias.STEPS,
            marks=sign * marks,
            item=number,
            times=times,
            alike=items,
        )
        for number, ((longer, marks, *cells), items) in enumerate(sorted(known.tables["choices"].items()))
        for (sign, stood_first), times in zip(((1, True), (1, False), (-1, True), (-1, False)), cells, strict=True)
        if times
    ]


def _timed(known: Evidence) -> dict[int, bias.Timed]:
    table = known.tables["haste"]
    steps = {step for step, _name in table}
    return {
        step: bias.Timed(*(table[step, name] for name in ("choices", "first", "longer", "differing"))) for step in steps
    }


def _people(
    known: Evidence,
    names: Mapping[int, str],
    model: Reliability[Any, str],
    alone: Reliability[Any, str],
    *,
    shared: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return each person's figures, who judged most first; `shared`: how much of theirs somebody else judged too."""
    signs = pace.signs({names[person]: counted for person, counted in _paces(known, names).items()})
    rationality: Mapping[Any, Estimate] = {}
    duels = sorted(known.tables["duels"].items())
    games = [Game(one, other, half / 2, names[who], times=times) for (who, one, other, half), times in duels]
    if games and len({name for game in games for name in game[:2]}) <= MOST:
        rationality = aware(games).rationality
    weights = weights_of(model, {person: found.judgements for person, found in signs.items()})
    positions = {names[person]: found for person, found in _positions(known).items()}
    people = []
    for person, found in sorted(signs.items(), key=lambda pair: (-pair[1].judgements, str(pair[0]))):
        is_shared = shared.get(str(person), 0) > 0
        beta = rationality.get(person)
        people.append(
            {
                "annotator": person,
                "judgements": found.judgements,
                "shared": shared.get(str(person), 0),
                "accuracy": model.accuracy(str(person)) if is_shared else None,
                "accuracy_alone": alone.accuracy(str(person)) if is_shared else None,
                "chance": max(model.priors.values(), default=None) if is_shared else None,
                "information": model.information(str(person)) if is_shared else None,
                "weight": weights.get(str(person), 1.0),
                "rationality": asdict(beta) if beta else None,
                "position": positions.get(str(person)),
                "pace": _plain(asdict(found)),
                "worth_a_look": found.worth_a_look or (beta is not None and beta.high < 0),
            }
        )
    return people


def _paces(known: Evidence, names: Mapping[int, str]) -> dict[int, pace.Counts]:
    found: dict[int, pace.Counts] = {}
    table = known.tables["pace"]
    for person in {person for person, _name in table}:
        found[person] = pace.Counts(
            judgements=table[person, "judgements"],
            timed=table[person, "timed"],
            fast=table[person, "fast"],
            looked=table[person, "looked"],
            unread=table[person, "unread"],
        )
    for (person, step), times in known.tables["speeds"].items():
        found[person].speeds[step] += times
    for (person, words), times in known.tables["verdicts"].items():
        found[person].verdicts[words] += times
    for person, item, feedback, words, seconds, verdict in known.tables["fast"]:
        found[person].fastest.append(pace.Work(names[person], item, words, seconds, verdict, feedback=feedback))
    return found


def _positions(known: Evidence) -> dict[int, dict[str, Any]]:
    """Return, by person, how often they preferred what stood first, and in how many items the row's first one did.

    The second is what was drawn for them: it says whether their screens were balanced at all.
    """
    table = known.tables["places"]
    return {
        person: {
            "first": asdict(share(table[person, "first"], table[person, "chosen"])),
            "drawn": asdict(share(table[person, "left"], table[person, "drawn"])),
        }
        for person in {person for person, _name in table}
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


def _shared(votes: Mapping[str, Mapping[str, str]], times: Mapping[str, int]) -> dict[str, int]:
    """Return on how much each person judged somebody else said something too."""
    found: Counter[str] = Counter()
    for said, by_person in votes.items():
        if len(by_person) > 1:
            found.update(dict.fromkeys(by_person, times[said]))
    return found


def weight_by_person(campaign: Campaign) -> dict[str, float] | None:
    """Return each person's weight by pseudonym, as the report that is stored has it; None before there is one."""
    report = QualityReport.objects.filter(campaign=campaign).first()
    if report is None:
        return None
    return {one["annotator"]: round(one["weight"], 6) for one in report.figures["people"]}


def _unsure(model: Reliability[str, str], items: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """Return the items whose label is least certain: of several answers of one, the least certain one counts."""
    chances = {said: round(model.uncertainty(said), 6) for said in model.posterior}
    by_task: dict[int, float] = {}
    least = 0.0
    for said in sorted(chances, key=lambda said: -chances[said]):
        # Those as uncertain as the last that fits in are wanted too: of them the first items are.
        if chances[said] <= 0 or (len(by_task) >= UNSURE and chances[said] < least):
            break
        least = chances[said]
        for task in items[said]:
            by_task.setdefault(task, chances[said])
    ranked = sorted(by_task.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{"task": task, "uncertainty": value} for task, value in ranked[:UNSURE]]


def _gold(
    feedback_kind: FeedbackType,
    campaign: Campaign,
    golds: Iterable[Gold],
    names: Mapping[int, str],
    *,
    simulated: bool,
) -> list[dict[str, Any]]:
    """Return each person's share of things that are right, of the items that have gold; who has fewest right first.

    Of the judgements that stand against the gold that stands: whoever corrects gold corrects this.
    """
    known = {one.task_id: gold.GoldAnswer(one.payload, one.tolerance) for one in golds}
    right: Counter[int] = Counter()
    asked: Counter[int] = Counter()
    items: Counter[int] = Counter()
    said = Feedback.objects.current().filter(campaign=campaign, user__is_simulated=simulated, is_review=False)
    of_gold = said.filter(task__gold__isnull=False).order_by().values_list("task_id", "user_id", "payload")
    for task, person, payload in of_gold.iterator(chunk_size=1000) if known else ():
        if task in known and person in names:
            compared = gold.compare(feedback_kind, known[task], payload, options=campaign.options)
            right[person] += sum(part.is_hit for part in compared)
            asked[person] += len(compared)
            items[person] += 1
    found = [
        {"annotator": names[person], "items": items[person], **asdict(share(right[person], number))}
        for person, number in asked.items()
        if number
    ]
    return sorted(found, key=lambda row: (row["estimate"], row["annotator"]))


def _ordinary(known: Evidence, of_gold: Evidence, names: Mapping[int, str]) -> dict[str, Any]:
    """Return what people do where they cannot know the answer: what gold that is mixed in is held against.

    `seconds_per_word`: each person's median, to a step of `pace.STEPS`. `people`: of how many pairs of one of their
    words with somebody else's on the same thing, and how many say the same. `by_chance`: how many of all would if
    everybody drew from what all said.
    """
    pairs: Counter[int] = Counter()
    same: Counter[int] = Counter()
    drawn: dict[str, Counter[str]] = defaultdict(Counter)
    for (_batch, _round, _origins, dimension, said), units in (known.tables["votes"] - of_gold.tables["votes"]).items():
        votes = [(who, category) for who, _value, category in evidence.votes_in(said)]
        for _who, category in votes:
            drawn[dimension][category] += units
        for (one, its), (other, others) in combinations(votes, 2):
            for person in (one, other):
                pairs[person] += units
                same[person] += units * (its == others)
    speeds: dict[int, Counter[int]] = defaultdict(Counter)
    for (person, step), times in (known.tables["speeds"] - of_gold.tables["speeds"]).items():
        speeds[person][step] += times
    medians = {who: pace.median_speed(of_one) for who, of_one in speeds.items() if of_one.total() >= LEAST}
    total = sum(counts.total() for counts in drawn.values())
    alike = sum(sum(n * n for n in counts.values()) / counts.total() for counts in drawn.values())
    return {
        "judgements": known.tables["judged"].total() - of_gold.tables["judged"].total(),
        "seconds_per_word": {names[who]: 1 / speed for who, speed in sorted(medians.items()) if speed},
        "people": {names[who]: {"pairs": n, "same": same[who]} for who, n in sorted(pairs.items())},
        "by_chance": alike / total if total else 0.0,
    }


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it: tuples as lists."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
