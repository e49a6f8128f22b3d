"""The reward explorer: type or pick a prompt and answers, and see what every reward model and every person says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from string import ascii_uppercase
from typing import Any
from uuid import uuid4

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.messages import Content, Part, answer_of, text_of
from annotation.models import Campaign, Feedback, Task, User
from annotation.permissions import LARGEST_ID, campaign_for
from annotation.told import of
from frontend.decorators import campaign_page, signed_in
from frontend.figures import number
from frontend.forms.explorer import ExplorerForm
from frontend.http import SignedInRequest, say
from frontend.lead_pages import campaign_page_of, sent
from frontend.numerals import percent, span
from frontend.stop_polling import fragment_or_stop
from frontend.views.items import shown_turn, shown_turns
from training.errors import Invalid, TrainingError
from training.models import ModelVersion, Run
from training.permissions import run_for
from training.services import corrections, explorer, personal

PAST = 10  # looks that the page lists
# From so many nats below the likeliest word on, a word is tinted lightly, clearly or strongly.
TINTS = (0.5, 2.0, 5.0)


@dataclass(frozen=True)
class Score:
    """What one model says of one answer, as text."""

    letter: str
    value: str  # "–" where it cannot read the answer
    is_best: bool
    spread: str = ""  # of the head's own, or over the members
    personal: str = ""


@dataclass(frozen=True)
class Word:
    """A word of an answer with how unlikely a rewriting model finds it: 0 as it should be, to 3."""

    text: str
    tint: int
    preferred: str


@dataclass
class Rewritten:
    """An answer as a model would have written it, and the form by which a person accepts it."""

    place: int
    letter: str
    text: str  # empty where it came to no end
    is_same: bool
    corrections: Sequence[Feedback] = ()  # the reader's own, of this answer
    typed: str = ""  # in place of the rewrite, where what was sent is shown again
    comment: str = ""
    error: str = ""


@dataclass
class Told:
    """What one model says, ready for the page."""

    name: str
    version: ModelVersion | None
    error: str = ""
    scores: list[Score] = field(default_factory=list)
    columns: list[tuple[str, list[str]]] = field(default_factory=list)  # attributes, members, …: name and values
    columns_are: str = ""
    critiques: list[tuple[str, str]] = field(default_factory=list)
    why: list[dict[str, Any]] = field(default_factory=list)
    words: list[tuple[str, list[Word]]] = field(default_factory=list)
    rewrites: list[Rewritten] = field(default_factory=list)
    duels: list[dict[str, str]] = field(default_factory=list)


@campaign_page(Action.TRAIN)
@require_http_methods(["GET", "POST"])
def explorer_new(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the form, with items to pick from; POST queues the scoring and goes to its page."""
    versions = explorer.models(campaign)
    task = _task(campaign, request.GET.get("item", ""))
    chosen = request.GET.get("model", "")
    initial = {"models": [chosen]} if chosen in {str(one.pk) for one in versions} else {}
    form = ExplorerForm(sent(request), request.FILES or None, versions=versions, task=task, initial=initial)
    choices = personal.choices(campaign, request.GET.get("as", ""))
    if request.method == "POST" and form.is_valid():
        try:
            run = explorer.create(
                campaign=campaign,
                prompt=form.messages(campaign),
                answers=form.contents,
                versions=form.chosen,
                principles=form.cleaned_data.get("principles", ""),
                choices=choices,
                actor=request.user,
            )
        except Invalid as error:
            form.take_errors(error.errors or {"": [str(error)]})
        else:
            return redirect("explored", run.pk)
    asked = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    context = {
        "form": form,
        "item": task,
        "turns": [] if task is None else shown_turns(campaign, task.content["messages"]),
        "pictures": [] if task is None else _pictures(campaign, [answer_of(a) for a in task.content["completions"]]),
        "choices": choices,
        "versions": versions,
        "query": asked,
        "found": explorer.search(campaign, asked) if "q" in request.GET else None,
        "past": Run.objects.filter(campaign=campaign, recipe__name=explorer.RECIPE).order_by("-pk")[:PAST],
    }
    status = 422 if form.errors else 200
    return campaign_page_of(request, campaign, "explorer/new.html", context, tab="models", status=status)


def _task(campaign: Campaign, given: str) -> Task | None:
    if not given:
        return None
    pk = int(given) if given.isdecimal() and len(given) < 19 else 0
    task = Task.objects.filter(campaign=campaign, pk=min(pk, LARGEST_ID)).first()
    if task is None:
        raise Http404(_("There is no such item in this campaign."))
    return task


@signed_in
@require_http_methods(["GET", "POST"])
def explored(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return what the models have said so far, and what people said of these answers.

    POST accepts a model's rewrite of an answer, as a whole or edited, as a correction in a campaign where people write.
    """
    run = _looked_at(request, run_id)
    if request.method == "POST":
        return _accept(request, run)
    return _page(request, run, _told(run, request.user))


def _accept(request: SignedInRequest, run: Run) -> HttpResponse:
    sent_in = request.POST
    model, number = sent_in.get("model", ""), sent_in.get("answer", "")
    place = int(number) if number.isascii() and number.isdigit() and len(number) < 3 else -1
    typed, comment = sent_in.get("text", ""), sent_in.get("comment", "")
    chosen = sent_in.get("campaign", "")
    pk = int(chosen) if chosen.isascii() and chosen.isdigit() and len(chosen) < 19 else 0
    campaign = campaign_for(request.user, pk, Action.JUDGE)
    try:
        feedback = corrections.accept(
            run=run,
            model=model,
            place=place,
            data={"text": typed, "comment": comment},
            campaign=campaign,
            user=request.user,
            client_key=sent_in.get("client_key", ""),
            since=_moment(sent_in.get("since", "")),
        )
    except (AnnotationError, TrainingError) as error:
        told = _told(run, request.user)
        for one in (one for shown in told["told"] if shown.name == model for one in shown.rewrites):
            if one.place == place:
                reasons = getattr(error, "errors", {})
                one.typed, one.comment = typed, comment
                one.error = " ".join(text for texts in reasons.values() for text in texts) or str(error)
        told["campaign_chosen"] = pk
        # What was typed stays on the page, also where that campaign was paused meanwhile.
        told["writing"] = told.get("writing") or [campaign]
        return _page(request, run, told, error=error)
    words = _("The rewrite is a correction in “{name}” now: item {id}.")
    say(request, words.format(name=campaign.name, id=feedback.task.external_id))
    return redirect("explored", run.pk)


def _moment(text: str) -> datetime | None:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return None if found is None or timezone.is_naive(found) else found


def _page(
    request: SignedInRequest, run: Run, told: dict[str, Any], error: AnnotationError | TrainingError | None = None
) -> HttpResponse:
    asked = run.inputs["asked"]
    context = {
        **told,
        "prompt": shown_turns(run.campaign, asked["prompt"]),
        "answers": [
            (letter, shown_turn(run.campaign, {"role": "assistant", "content": content})["parts"])
            for letter, content in zip(ascii_uppercase, explorer.answers_of(run), strict=False)
        ],
        "people": explorer.judgements(run.campaign, asked["prompt"], explorer.answers_of(run)),
        "principles": run.recipe["knobs"].get("principles", ""),
    }
    status = 200 if error is None else error.status
    return campaign_page_of(request, run.campaign, "explorer/detail.html", context, tab="models", status=status)


@signed_in
@require_GET
def explored_progress(request: SignedInRequest, run_id: int) -> HttpResponse:
    """Return the moving part of the page; the answer at a final state stops the asking."""
    run = _looked_at(request, run_id)
    return fragment_or_stop(request, "explorer/_told.html", _told(run, request.user), more=not run.is_final)


def _pictures(campaign: Campaign, answers: list[Content]) -> list[tuple[str, list[Part]]]:
    """Return the images of an item's answers, which its boxes have no room for, by letter."""
    shown = [shown_turn(campaign, {"role": "assistant", "content": content})["parts"] for content in answers]
    images = [[part for part in parts if part["type"] == "image"] for parts in shown]
    return [(letter, parts) for letter, parts in zip(ascii_uppercase, images, strict=False) if parts]


def _looked_at(request: SignedInRequest, run_id: int) -> Run:
    run = run_for(request.user, run_id)
    if run.recipe.get("name") != explorer.RECIPE:
        raise Http404(_("There is no such run."))
    return run


def _told(run: Run, user: User) -> dict[str, Any]:
    versions = {one.label: one for one in explorer.models(run.campaign)}
    asked = [text_of(content) for content in explorer.answers_of(run)]
    letters = ascii_uppercase[: len(asked)]
    told = [_of_model(one, versions.get(one["model"]), letters, asked) for one in explorer.told(run)]
    waiting = [name for name in run.inputs["order"] if name not in {one.name for one in told}]
    context = {"run": run, "told": told, "letters": letters, "waiting": [] if run.is_final else waiting}
    # While the page still moves nobody types into it.
    if run.is_final and any(model.rewrites for model in told):
        mine = corrections.accepted(run, user)
        for rewritten in (one for model in told for one in model.rewrites):
            rewritten.corrections = mine.get(rewritten.place, ())
            if rewritten.corrections:
                rewritten.typed = rewritten.corrections[-1].payload["text"]
        context |= {
            "writing": corrections.campaigns_for(user, run.campaign),
            "client_key": uuid4().hex,
            "since": timezone.now().isoformat(),
        }
    return context


def _of_model(said: dict[str, Any], version: ModelVersion | None, letters: str, asked: Sequence[str]) -> Told:
    told = Told(said["model"], version, error=str(of(said if "told" in said else said.get("error"))))
    if told.error:
        return told
    readable = [score for score in said["scores"] if score is not None]
    best = max(readable, default=None)
    personal = said.get("personal") or [None] * len(letters)
    for place, (letter, score) in enumerate(zip(letters, said["scores"], strict=True)):
        told.scores.append(
            Score(
                letter,
                _number(score),
                score is not None and score == best and len(readable) > 1,
                _spread(said, place),
                "" if personal[place] is None else _number(personal[place]),
            )
        )
    if len(said["names"]) > 1:
        told.columns = [
            (name, [_number(row[column] if row else None) for row in said["values"]])
            for column, name in enumerate(said["names"])
        ]
        told.columns_are = {
            "ensemble": _("What each member says, on a scale of its own"),
            "gaussian": _("What each member says, on a scale of its own"),
            "yes_no": _("Log-odds of Yes by principle; above 0 it says yes"),
        }.get(said["head"], _("Points by attribute"))
    told.critiques = [(one, text) for one, text in zip(letters, said.get("critiques", ()), strict=False) if text]
    told.why = [_why(one, parts) for one, parts in zip(letters, said.get("why", ()), strict=False) if parts]
    told.words = [(one, _words(credit)) for one, credit in zip(letters, said.get("credit", ()), strict=False) if credit]
    for place, text in enumerate(said.get("rewrites", ())):
        same = text is not None and text.strip() == asked[place].strip()
        told.rewrites.append(Rewritten(place, letters[place], text or "", same))
    told.duels = [_duel(duel, letters) for duel in said.get("duels", ())]
    return told


def _number(value: float | None) -> str:
    return "–" if value is None else number(float(value))


def _spread(said: dict[str, Any], place: int) -> str:
    """Return how unsure the model is: what the head itself says, or how far apart its members are."""
    members = said["values"][place] if said["members"][place] else None
    if members:
        return span(_number(min(members)), _number(max(members)))
    own = said["spread"][place]
    return "" if not own or len(own) > 1 else f"± {_number(own[0])}"


def _why(letter: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what a gated score is made of: points times weight times the gate's scale, which sum to the score."""
    rows = [
        {
            "attribute": part["attribute"],
            "points": _number(part["points"]),
            "weight": percent(part["weight"]),
            "share": round(100 * part["weight"]),
            "contribution": _number(part["contribution"]),
        }
        for part in parts
    ]
    return {"letter": letter, "rows": rows, "sum": _number(sum(part["contribution"] for part in parts))}


def _words(credit: dict[str, Any]) -> list[Word]:
    found = []
    for text, preferred, hard, soft in zip(
        credit["tokens"], credit["preferred"], credit["hard"], credit["soft"], strict=True
    ):
        tint = sum(-soft > bound for bound in TINTS)
        found.append(Word(text, max(tint, 1) if hard < 0 else 0, preferred if hard < 0 else ""))
    return found


def _duel(duel: dict[str, Any], letters: str) -> dict[str, str]:
    first, second, p = letters[duel["first"]], letters[duel["second"]], duel["first_is_better"]
    better, worse, sure = (first, second, p) if p >= 0.5 else (second, first, 1 - p)
    return {"better": better, "worse": worse, "sure": percent(sure), "order": percent(duel["order"])}
