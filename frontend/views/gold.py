"""The pages of items whose answer is known: the list with its leaks, and one item with its answer to edit."""

from __future__ import annotations

import math
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import datasets, gold, known, leaks
from annotation.access import Action
from annotation.errors import AnnotationError, Invalid
from annotation.feedback import kind
from annotation.models import Assignment, Campaign, Feedback, Gold, Task
from annotation.permissions import LARGEST_ID, may
from annotation.services import attention, reviews, trials
from annotation.services import gold as golds
from frontend import numerals
from frontend.decorators import campaign_page
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of
from frontend.views.items import shown_item
from frontend.views.work import excerpt, sent

ON_A_PAGE = 50
# Parts of the form that are not the answer.
_OF_THE_PAGE = ("decision", "purpose", "judgement")
TOLERANCE, LEFT_OUT = "tolerance-", "left-out-"


@campaign_page(Action.IMPORT)
@never_cache
@require_GET
def gold_list(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the items whose answer is known, narrowed as asked, and what shows that answers can be told."""
    asked = {
        "purpose": request.GET.get("purpose", "") if request.GET.get("purpose", "") in Gold.Purpose.values else "",
        "state": request.GET.get("state", ""),
        "search": request.GET.get("search", "").replace("\x00", "").strip()[:200],
    }
    retired = {"used": False, "retired": True}.get(asked["state"])
    found = known.stored(campaign, purpose=asked["purpose"], retired=retired, search=asked["search"])
    pages = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    feedback_kind = kind(campaign.kind)
    rows = [
        {
            "known": one,
            "asked": excerpt(one.gold.task.content["messages"]) or one.gold.task.external_id,
            "said": feedback_kind.describe(one.gold.payload, options=campaign.options),
        }
        for one in known.with_results(campaign, list(pages))
    ]
    leaks_of = leaks.report(campaign) if pages.paginator.count else None
    context = {
        "rows": rows,
        "pages": pages,
        "asked": asked,
        "narrowed": any(asked.values()),
        "purposes": Gold.Purpose.choices,
        "no_gold": feedback_kind.no_gold(campaign.options),
        "leaks": _leak_rows(leaks_of) if leaks_of else [],
        "leaks_of": leaks_of,
        "standings": attention.standings(campaign),
        "last": attention.LAST,
        "trials": trials.results(campaign),
        "may_lift": may(request.user, campaign, Action.PEOPLE),
    }
    return campaign_page_of(request, campaign, "campaigns/gold.html", context, tab="campaign-quality")


@campaign_page(Action.PEOPLE)
@require_POST
def let_go_on(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Let a person go on who was paused, or judge whatever their test says."""
    given = request.POST
    act = trials.admit if given.get("decision") == "admit" else attention.lift
    try:
        person = act(campaign=campaign, pseudonym=given.get("person", "")[:20], actor=request.user)
    except AnnotationError as error:
        complain(request, error)
    else:
        say(request, _("{person} can go on.").format(person=person.pseudonym))
    return redirect("gold", campaign.pk)


@campaign_page(Action.IMPORT)
@require_GET
def gold_file(request: SignedInRequest, campaign: Campaign) -> StreamingHttpResponse:
    """Return the items with their gold as JSON Lines, which any campaign of this kind imports."""
    response = StreamingHttpResponse(datasets.lines(known.lines(campaign)), content_type="application/x-ndjson")
    response.headers["Content-Disposition"] = f'attachment; filename="campaign-{campaign.pk}-gold.jsonl"'
    return response


@campaign_page(Action.IMPORT)
@never_cache
@require_http_methods(["GET", "POST"])
def gold_item(request: SignedInRequest, campaign: Campaign, task_id: int) -> HttpResponse:
    """Return an item with its right answer in the form people fill in, and what they said; POST keeps or retires it.

    With ``?judgement=`` the form holds what somebody said, to be made gold.
    """
    task = Task.objects.filter(campaign=campaign, pk=min(task_id, LARGEST_ID)).first()
    if task is None:
        raise Http404(_("There is no such item."))
    task.campaign = campaign
    stored = Gold.objects.filter(task=task).first()
    if stored is not None:
        stored.task = task
    try:
        reviews.look(task=task, reviewer=request.user)
    except Invalid as error:
        complain(request, error)
        return redirect("gold", campaign.pk)
    values: dict[str, Any] | None = None
    errors: dict[str, list[str]] = {}
    if request.method == "POST":
        try:
            told = _decide(request, task, stored)
        except Invalid as error:
            complain(request, error)
            values, errors = sent(request), error.errors
        except AnnotationError as error:
            complain(request, error)
        else:
            say(request, told)
            return redirect("gold", campaign.pk)
    return _item_page(request, campaign, task, stored, values=values, errors=errors)


def _decide(request: SignedInRequest, task: Task, stored: Gold | None) -> str:
    decision = request.POST.get("decision")
    if decision == "retire" and stored is not None:
        golds.retire(stored=stored, actor=request.user)
        return _("Retired: nobody is asked for its right answer any more, and the item is one like any other.")
    if decision == "remove" and stored is not None:
        golds.take_away(task=task, actor=request.user)
        return _("The right answer was taken away; judgements of the item count as all others do.")
    given = sent(request)
    tolerance: dict[str, float | None] = {}
    for name, text in given.items():
        if name.startswith(LEFT_OUT):
            tolerance[name.removeprefix(LEFT_OUT)] = None
        elif name.startswith(TOLERANCE) and text.strip():
            tolerance.setdefault(name.removeprefix(TOLERANCE), _number(text))
    apart = (TOLERANCE, LEFT_OUT)
    answer = {name: text for name, text in given.items() if name not in _OF_THE_PAGE and not name.startswith(apart)}
    value = {"answer": answer, "tolerance": tolerance, "purpose": given.get("purpose", "")}
    golds.set_gold(task=task, value=value, actor=request.user)
    return _("Saved. From now on people are compared with this answer.")


def _typed(number: float | None) -> str:
    return "" if number is None else numerals.decimal(f"{number:g}")


def _number(text: str) -> float:
    """Return the number; one that fits nothing where there is none, so that it is refused by name."""
    try:
        number = float(numerals.undecimal(text))
    except ValueError:
        return math.inf
    return number if math.isfinite(number) else math.inf


def _item_page(
    request: SignedInRequest,
    campaign: Campaign,
    task: Task,
    stored: Gold | None,
    *,
    values: dict[str, Any] | None,
    errors: dict[str, list[str]],
) -> HttpResponse:
    feedback_kind = kind(campaign.kind)
    order = list(range(golds.answers_of(task)))
    judged = reviews.judgements(task)
    asked_for = request.GET.get("judgement", "")
    source = next((one for one in judged if str(one.pk) == asked_for), None)
    payload = source.payload if source else stored.payload if stored else None
    if values is None:
        values = feedback_kind.initial(payload, shown_order=order) if payload else {}
    tolerance = stored.tolerance if stored else {}
    likenesses = [
        {
            "name": like.name,
            "title": like.title,
            "meaning": like.measure.meaning,
            "usual": like.measure.usual,
            "most": like.measure.most,
            "value": values.get(
                TOLERANCE + like.name, "" if tolerance.get(like.name) is None else tolerance[like.name]
            ),
            "left_out": LEFT_OUT + like.name in values or (like.name in tolerance and tolerance[like.name] is None),
        }
        for like in feedback_kind.likenesses(campaign.options)
    ]
    as_if_held = Assignment(key="", task=task, campaign=campaign, user=request.user, shown_order=order)
    item = shown_item(campaign, as_if_held, values=values)
    context = {
        "item": item,
        "values": item["values"],
        "errors": errors,
        "task": task,
        "stored": stored,
        "source": source,
        "purposes": Gold.Purpose.choices,
        "purpose": values.get("purpose") or (stored.purpose if stored else Gold.Purpose.MIXED),
        "likenesses": likenesses,
        "no_gold": feedback_kind.no_gold(campaign.options),
        "rows": _judged_rows(campaign, stored, judged, order) if may(request.user, campaign, Action.READ) else [],
    }
    status = 422 if errors else 200
    return campaign_page_of(
        request, campaign, "campaigns/gold_item.html", context, tab="campaign-quality", status=status
    )


def _judged_rows(
    campaign: Campaign, stored: Gold | None, judged: list[Feedback], order: list[int]
) -> list[dict[str, Any]]:
    feedback_kind = kind(campaign.kind)
    rows = []
    for one in judged:
        compared = []
        if stored is not None:
            answer = gold.GoldAnswer(stored.payload, stored.tolerance)
            compared = gold.compare(feedback_kind, answer, one.payload, options=campaign.options, shown_order=order)
        rows.append(
            {
                "feedback": one,
                "said": feedback_kind.describe(one.payload, options=campaign.options, shown_order=order),
                "compared": compared,
                "right": sum(part.is_hit for part in compared),
            }
        )
    return rows


def _leak_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the checks in words: what was looked at, whether something shows, the figure, and its evidence."""
    words = {
        "side": (_("The right answer stands on the same side"), _("stood first")),
        "first": (_("It is people’s first item"), _("of people began with one")),
        "faster": (_("It is answered faster than other items"), _("faster than their usual pace")),
        "careful": (_("Right on it, and elsewhere like others only by chance"), _("of people with enough of both")),
        "same": (_("Always giving one answer passes"), _("right for who always says the same")),
    }
    rows = []
    for one in report["findings"]:
        title, counted = words[one["check"]]
        rows.append({"title": title, "counted": counted, "leaks": one["leaks"], **one["share"], "evidence": []})
    change = report["change"]
    rows.append(
        {
            "title": _("Later answers are right more often than earlier ones"),
            "counted": _("more of the later half"),
            "leaks": change["leaks"],
            **{name: change[name] for name in ("estimate", "low", "high")},
            "n": change["later"]["n"],
            "evidence": [],
        }
    )
    pairs = [
        (
            one["task"],
            _("{gold} and {item} share {share} of their words.").format(
                gold=one["gold"], item=one["item"], share=numerals.percent(one["alike"])
            ),
        )
        for one in report["twins"]
    ]
    elsewhere = [
        (
            one["task"],
            ngettext(
                "{gold}: {n} person of this campaign judged the item of that id in another one.",
                "{gold}: {n} people of this campaign judged the item of that id in another one.",
                one["people"],
            ).format(gold=one["gold"], n=one["people"]),
        )
        for one in report["elsewhere"]
    ]
    rows.append(_listed(_("Another item here is nearly the same"), pairs))
    rows.append(_listed(_("The same item was judged in another campaign"), elsewhere))
    return rows


def _listed(title: str, evidence: list[tuple[int, str]]) -> dict[str, Any]:
    return {"title": title, "counted": "", "leaks": bool(evidence), "n": len(evidence), "evidence": evidence}
