"""The report on quality, made in a campaign that real people's votes were put into, against the reference libraries.

Every figure is taken from where the page has it: over REST, of the report that the page shows. What the page has of the
judgements alone is what the libraries say as they are. The report gives each policy and each person a prior (`USUAL`),
too; of those figures the libraries get the same one: evalica as games against one more player, crowd-kit as judgements
added to each person's counts.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import evalica
import krippendorff
import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene
from django.test import Client
from django.utils import timezone
from sklearn.metrics import cohen_kappa_score

from annotation.feedback import kind
from annotation.feedback.fields import key_of
from annotation.models import Assignment, Campaign, Feedback, Task, User
from annotation.quality import labels, strengths
from annotation.services import intake, quality
from tests.annotation.quality.real_votes import convabuse, crows_pairs, hate_offensive, llmfao
from tests.factories import make_campaign, make_user

# Item → person → what they said, as the form of the campaign's kind sends it.
Said = Mapping[Any, Mapping[Any, dict[str, Any]]]


def reported(lead: User, said: Said, *, origins: Mapping[Any, tuple[str, str]] | None = None, **fields: Any) -> Any:
    """Return the report of a campaign in which these people said this, and who is who: person → pseudonym."""
    campaign = make_campaign(lead=lead, **fields)
    lines = []
    for number, item in enumerate(said):
        authors = (origins or {}).get(item, ("model",))
        answers = [{"text": f"Answer {number} of {place}.", "origin": who} for place, who in enumerate(authors)]
        lines.append(json.dumps({"id": str(item), "prompt": f"Question {number}?", "completions": answers}))
    stored = intake.import_lines(campaign=campaign, lines=lines, actor=lead)
    assert stored.created == len(said), stored
    people = {person: make_user() for by_person in said.values() for person in by_person}
    judged(campaign, said, people)
    quality.refresh(campaign=campaign)
    client = Client()
    client.force_login(lead)
    found = client.get(f"/api/campaigns/{campaign.pk}/quality/").json()
    assert found["judgements"] == sum(map(len, said.values())) > 500, "a report that the background makes"
    page = client.get(f"/campaigns/{campaign.pk}/quality/").content.decode()
    whole = next(one for one in found["agreement"] if one["by"] == "all")
    assert f'<td class="number">{whole["alpha"]:.2f}</td>' in page
    assert "Everybody begins with five judgements" in page and labels.USUAL == 5
    assert not found["policies"] or ("half a comparison won" in page and strengths.USUAL == 0.5)
    return found, {person: user.pseudonym for person, user in people.items()}


def judged(campaign: Campaign, said: Said, people: Mapping[Any, User]) -> None:
    """Store what people said as their submissions do, in bulk; each is read by the form of the campaign's kind."""
    now, feedback_kind = timezone.now(), kind(campaign.kind)
    tasks = {task.external_id: task for task in Task.objects.filter(campaign=campaign)}
    answers = [(tasks[str(item)], people[person], data) for item, one in said.items() for person, data in one.items()]
    shared: dict[str, Any] = {"campaign": campaign}
    held = Assignment.objects.bulk_create(
        Assignment(
            **shared,
            task=task,
            user=user,
            state=Assignment.State.SUBMITTED,
            shown_order=list(range(len(task.content["completions"]))),
            expires_at=now,
            closed_at=now,
        )
        for task, user, _data in answers
    )
    Feedback.objects.bulk_create(
        Feedback(
            **shared,
            task=task,
            assignment=one,
            user=user,
            kind=campaign.kind,
            payload=feedback_kind.parse(data, options=campaign.options, shown_order=one.shown_order),
            shown_order=one.shown_order,
            client_key=str(one.key),
            guideline_version=1,
        )
        for one, (task, user, data) in zip(held, answers, strict=True)
    )


def agree_with_the_libraries(shown: Mapping[str, Any], votes: Mapping[Any, Mapping[Any, float]], level: str) -> None:
    """Hold one dimension's alpha and kappa against `krippendorff` and scikit-learn; `votes`: item → person → value."""
    people = sorted({person for one in votes.values() for person in one})
    table = [[one.get(person, math.nan) for one in votes.values()] for person in people]
    assert shown["alpha"] == pytest.approx(krippendorff.alpha(table, level_of_measurement=level), abs=1e-6)
    kappas, shares = [], []
    for both in pairs_of(votes).values():
        left, right = zip(*both, strict=True)
        if len({*left, *right}) > 1:  # else it is 0/0, and scikit-learn's is not a number
            kappas.append(cohen_kappa_score(left, right))
            shares.append(len(both))
    assert shown["kappa"] == pytest.approx(np.average(kappas, weights=shares), abs=1e-6)


def pairs_of(votes: Mapping[Any, Mapping[Any, Any]]) -> dict[tuple[Any, Any], list[tuple[Any, Any]]]:
    """Return, of each two people, what they said of each item that both judged."""
    found = defaultdict(list)
    for one in votes.values():
        for left, right in combinations(sorted(one), 2):
            found[left, right].append((one[left], one[right]))
    return found


def crowd_kits_with_the_prior(votes: Mapping[Any, Mapping[Any, str]]) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Return probabilities, shares and error rates by crowd-kit's two steps, with the prior added to its counts.

    Before each M-step each person gets `USUAL` judgements that are shared out like everybody's of the round before.
    """
    rows = [(item, person, said) for item, by_person in votes.items() for person, said in by_person.items()]
    data = pd.DataFrame(rows, columns=["task", "worker", "label"])
    names, people = sorted(data.label.unique()), data.worker.unique()
    every = pd.MultiIndex.from_product([people, names], names=["worker", "label"])
    chances = pd.crosstab(data.task, data.label, normalize="index")[names]
    for _ in range(labels.ROUNDS):
        priors = chances.mean()
        pooled = data.join(chances, on="task").groupby("label")[names].sum().loc[names] + 1
        around = (labels.USUAL * pooled / pooled.sum()).to_numpy()
        added = pd.DataFrame(np.tile(around, (len(people), 1)), index=every, columns=names)
        errors = DawidSkene._m_step(data, chances, added, "addition")
        before, chances = chances, DawidSkene._e_step(data, priors, errors)[names].reindex(chances.index)
        if np.abs(chances - before).to_numpy().max() <= labels.CHANGE:
            break
    return chances, chances.mean(), errors


def people_agree_with_crowd_kit(found: Any, names: Mapping[Any, str], votes: Mapping[Any, Mapping[Any, str]]) -> None:
    """Hold how often each person is right, and how sure each item is, against crowd-kit with the same prior."""
    chances, priors, errors = crowd_kits_with_the_prior(votes)
    shown = {one["annotator"]: one for one in found["people"]}
    shared = {person for one in votes.values() if len(one) > 1 for person in one}
    for person in shared:
        right = sum(share * errors.loc[(person, label), label] for label, share in priors.items())
        assert shown[names[person]]["accuracy"] == pytest.approx(right, abs=1e-6)
    assert len(shared) > 5
    rows = [(item, person, said) for item, one in votes.items() for person, said in one.items()]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    plain = DawidSkene(n_iter=labels.ROUNDS, tol=-math.inf).fit(frame)
    rates = plain.errors_.stack()  # of what a person never said there is none
    for person in shared:
        right = sum(share * rates.get((person, label, label), 0.0) for label, share in plain.priors_.items())
        assert shown[names[person]]["accuracy_alone"] == pytest.approx(right, abs=1e-6)
    item_of = dict(Task.objects.values_list("pk", "external_id"))
    by_name = {str(item): row.max() for item, row in chances.iterrows()}
    assert len(found["unsure"]) > 20
    for one in found["unsure"]:
        assert one["uncertainty"] == pytest.approx(1 - by_name[item_of[one["task"]]], abs=2e-6)


@pytest.mark.django_db
@pytest.mark.one_database
class TestRealVotes:
    def test_comparisons_of_language_models(self, lead: User):
        """LLMFAO: 59 models, compared by 123 people; a third of the pairs that are stored here."""
        games = [game for game in llmfao()[0] if int(str(game.item)) % 9 == 0]
        votes = {item: one for item, one in llmfao()[1].items() if int(item) % 9 == 0}
        value = {"left": 1, "right": -1, "tie": 0}
        found, names = reported(
            lead,
            {
                item: {
                    person: kind("pairwise").initial(
                        {"verdict": "prefer" if value[said] else "tie", "preference": value[said], "comment": ""},
                        shown_order=[0, 1],
                    )
                    for person, said in one.items()
                }
                for item, one in votes.items()
            },
            origins={game.item: (game.one, game.other) for game in games},
        )
        whole = next(one for one in found["agreement"] if one["by"] == "all")
        said = {item: {person: value[word] for person, word in one.items()} for item, one in votes.items()}
        agree_with_the_libraries(whole, said, "ordinal")
        words = {"left": "first", "right": "second", "tie": "neither"}
        people_agree_with_crowd_kit(
            found, names, {item: {p: words[word] for p, word in one.items()} for item, one in votes.items()}
        )
        # One game won and one lost for every two of the prior: a draw against somebody whose strength is 0.
        winner = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
        models = sorted({name for game in games for name in game[:2]})
        nobody = "a player of strength 0"
        played = [(game.one, game.other, winner[game.share]) for game in games]
        played += [(name, nobody, evalica.Winner.Draw) for name in models]
        theirs = np.log(evalica.bradley_terry(*zip(*played, strict=True), tolerance=1e-14, limit=100_000).scores)
        assert len(found["policies"]) == len(models) > 50
        for one in found["policies"]:
            assert one["value"] == pytest.approx(theirs[one["name"]] - theirs[nobody], abs=1e-6)
        games = [(game.one, game.other, winner[game.share]) for game in games]
        plain = np.log(evalica.bradley_terry(*zip(*games, strict=True), tolerance=1e-14, limit=100_000).scores)
        for one in found["policies"]:
            assert one["value_alone"] == pytest.approx(plain[one["name"]] - plain.mean(), abs=1e-6)

    def test_severity_of_abuse(self, lead: User):
        """ConvAbuse: five levels of severity by eight people; every fifth turn."""
        votes = {item: one for item, one in convabuse().items() if item.endswith(("0", "5"))}
        levels = {value: level for level, value in enumerate((-3, -2, -1, 0, 1))}
        said = {item: {person: levels[value] for person, value in one.items()} for item, one in votes.items()}
        found, names = reported(
            lead,
            {item: {person: {"severity_1": str(value)} for person, value in one.items()} for item, one in said.items()},
            kind="ratings",
            options={"attributes": ["Severity: very bad | bad | mild | unclear | none"], "reasons": "off"},
        )
        whole = next(one for one in found["agreement"] if one["by"] == "all")
        agree_with_the_libraries(whole, said, "ordinal")
        people_agree_with_crowd_kit(
            found, names, {item: {p: str(value) for p, value in one.items()} for item, one in said.items()}
        )
        shown = {frozenset((one["one"], one["other"])): one for one in found["pairs"]}
        for (one, other), both in pairs_of(said).items():
            kappa = shown[frozenset((names[one], names[other]))]["kappa"]
            if kappa is not None:
                assert kappa == pytest.approx(cohen_kappa_score(*zip(*both, strict=True)), abs=1e-6)

    def test_types_of_bias(self, lead: User):
        """CrowS-Pairs: whether each of nine biases is in a pair of sentences, by 150 people; every tenth pair."""
        votes = {item: one for item, one in crows_pairs()[0].items() if item.endswith("0")}
        types = sorted({said for one in votes.values() for said in one.values()} - {"none"})
        answer = {name: {p: {t: said == t for t in types} for p, said in one.items()} for name, one in votes.items()}
        found, names = reported(lead, asked(answer), kind="principles", options=questions(types))
        each_question_agrees(found, names, answer, types)

    def test_hate_and_offence(self, lead: User):
        """Hate and offensive language: votes by nobody known, here by seat; one tweet of a hundred of each pattern."""
        types, answer = ["Hate", "Offensive"], {}
        for pattern, tweets in sorted(hate_offensive().items()):
            for number in range(math.ceil(tweets / 100)):
                item = f"{'-'.join(map(str, pattern))}.{number}"
                answer[item] = {seat: {"Hate": vote == 0, "Offensive": vote == 1} for seat, vote in enumerate(pattern)}
        found, names = reported(lead, asked(answer), kind="principles", options=questions(types))
        each_question_agrees(found, names, answer, types)


def each_question_agrees(
    found: Any, names: Any, answer: Mapping[Any, Mapping[Any, Mapping[str, bool]]], types: Sequence[str]
) -> None:
    """Hold the agreement on each question against the libraries, and people's reliability on the first of them."""
    for name in types:
        shown = next(one for one in found["agreement"] if one["by"] == "all" and one["dimension"] == key_of(name))
        said = {item: {p: int(one[name]) for p, one in by.items()} for item, by in answer.items()}
        agree_with_the_libraries(shown, said, "nominal")
    people_agree_with_crowd_kit(
        found, names, {i: {p: ("no", "yes")[one[types[0]]] for p, one in by.items()} for i, by in answer.items()}
    )


def asked(answer: Mapping[Any, Mapping[Any, Mapping[str, bool]]]) -> Said:
    """Return the forms in which yes or no is said of each name."""
    return {
        item: {
            person: {f"{key_of(name)}_1": "yes" if one else "no" for name, one in said.items()}
            for person, said in by_person.items()
        }
        for item, by_person in answer.items()
    }


def questions(names: list[str]) -> dict[str, Any]:
    return {"principles": [f"{name}: it is in the text" for name in names], "evidence": False}
