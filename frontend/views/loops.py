"""The loop of a campaign: starting it, watching its round, deciding, and what each round came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.functional import Promise
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation.access import Action
from annotation.errors import AnnotationError
from annotation.models import Campaign
from annotation.progress import batch_progress
from frontend import charts, next_step
from frontend.decorators import campaign_page, signed_in
from frontend.forms.knobs import shown
from frontend.forms.loops import LoopForm
from frontend.gate_words import gate_figure, verdict
from frontend.http import SignedInRequest, complain, say
from frontend.lead_pages import campaign_page_of, is_lead, sent
from frontend.stop_polling import fragment_or_stop
from frontend.views.items import shown_turns
from frontend.views.metrics import as_csv
from training import paths, store
from training.errors import GateClosed, Invalid, TrainingError
from training.models import GateReport, Loop, ModelVersion, Round, Run, Suite
from training.permissions import round_for
from training.recipes.multiple_choice import VIEW as SUITE
from training.services import asked, gate_orders, gates, labelling, misnamed, moves, rounds, versions
from training.services.asked import Asked
from training.services.comparisons import Comparison, comparisons

COMPARED = 6
MOST_FILES = 50
State = Round.State

# The round's state machine as it is drawn; the last step is the decision.
STEPS = (
    (State.DRAFTING, _("Choose prompts")),
    (State.SAMPLING, _("Write answers")),
    (State.LABELLING, _("People judge")),
    (State.FREEZING, _("Freeze the data")),
    (State.TRAINING, pgettext_lazy("step of a round", "Train")),
    (State.GATING, pgettext_lazy("step of a round", "Test")),
)
# Which runs of the round work in a state, in the order in which they do.
PURPOSES = {
    State.SAMPLING: ("sample",),
    State.FREEZING: ("reward", "cost", "rollouts"),
    State.TRAINING: ("policy",),
    State.GATING: ("gate",),
}
# What the runs of a round are for, by purpose.
FOR = {
    "sample": _("Write answers"),
    "reward": _("Reward model"),
    "cost": _("Cost model"),
    "rollouts": _("Branch dialogues"),
    "policy": pgettext_lazy("step of a round", "Train"),
    "gate": pgettext_lazy("step of a round", "Test"),
    "": _("Ordered anew since"),
}


@dataclass(frozen=True)
class Step:
    label: str | Promise
    state: str  # "done", "now", "failed" or ""


@campaign_page(Action.READ)
@require_GET
def loop_detail(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the loop's page: the present round, its history, and the policy before and after.

    With ``?format=csv`` the win rate of each round, as the chart has it; with ``?format=asked`` what people were asked.
    """
    loop = Loop.objects.filter(campaign=campaign).first()
    if loop is None:
        return campaign_page_of(request, campaign, "loops/none.html", {}, tab="loop")
    loop.campaign = campaign
    history = _rounds(loop)
    if request.GET.get("format") == "csv":
        return as_csv(_win_rows(history), f"campaign-{campaign.pk}-rounds.csv")
    pairs = asked.of_loop(loop, history)
    if request.GET.get("format") == "asked":
        return as_csv(_asked_rows(pairs), f"campaign-{campaign.pk}-asked.csv")
    compared = next((one for one in reversed(history) if one.is_final and one.candidate_id), None)
    context = {
        "loop": loop,
        "settings": loop.settings,
        "history": [(one, _human(one)) for one in reversed(history)],
        "chart": _win_rates(history),
        "asked": list(reversed(pairs)),
        "asked_chart": _audited(pairs),
        "compared_round": compared,
        "compared": _compared(campaign, compared),
        **_status(loop, history[-1] if history else None),
    }
    return campaign_page_of(request, campaign, "loops/detail.html", context, tab="loop")


@campaign_page(Action.READ)
@require_GET
def loop_status(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the moving part of the loop's page; when a round ends or begins, the whole page is to be loaded anew."""
    loop = Loop.objects.filter(campaign=campaign).first()
    if loop is None:
        return HttpResponse(status=286)
    loop.campaign = campaign
    history = _rounds(loop)
    round = history[-1] if history else None
    context = {"campaign": campaign, "lead": is_lead(request.user, campaign), **_status(loop, round)}
    response = fragment_or_stop(request, "loops/_status.html", context, more=context["moves"])
    if request.GET.get("seen") != context["seen"]:
        response.headers["HX-Refresh"] = "true"
    return response


def _rounds(loop: Loop) -> list[Round]:
    found = loop.rounds.select_related("policy", "candidate__gate_report", "snapshot").order_by("index")
    rounds_ = list(found)
    for one in rounds_:
        one.loop = loop
    return rounds_


def _status(loop: Loop, round: Round | None) -> dict[str, Any]:
    """Return what the present round's card shows."""
    if round is None:  # so nobody waits for its end
        text = next_step.of_round(loop, None, judged=0, wanted=0, failed="")
        return {"loop": loop, "round": None, "next_text": text, "seen": "none", "moves": False, "steps": []}
    judged, wanted, open_ = _counts(round)
    # All pairs of its gate left the queue unjudged: then a lead may turn the candidate down.
    is_undecided = round.state == State.GATING and bool(wanted) and not judged and not open_
    run = _at_work(round)
    unfinished = not round.is_final
    return {
        "loop": loop,
        "round": round,
        "steps": drawn_steps(round),
        "judged": judged,
        "wanted": wanted,
        "run": run,
        "run_percent": round_percent(run),
        "run_eta": run.progress.get("eta_seconds") if run is not None and run.state == Run.State.RUNNING else None,
        "next_text": str(round.note)
        if is_undecided
        else next_step.of_round(loop, round, judged=judged, wanted=wanted, failed=""),
        "seen": f"{round.pk}-{round.state if round.is_final else 'open'}",
        "moves": unfinished and loop.state == Loop.State.ACTIVE and round.state != State.STALLED,
        "can_go_on": unfinished
        and loop.state == Loop.State.ACTIVE
        and (bool(judged) or is_undecided)
        and _people_work(round, run),
        "is_undecided": is_undecided,
        "decides_early": round.state == State.GATING and run is not None and judged < _needed_pairs(round, run, wanted),
        "can_resume": unfinished and (round.state == State.STALLED or loop.state == Loop.State.PAUSED),
        "can_pause": loop.state == Loop.State.ACTIVE and unfinished and round.state != State.STALLED,
        "can_cancel": unfinished,
        "orders": gate_orders.waiting(loop) if unfinished else [],
        "can_start": round.is_final and loop.state != Loop.State.STOPPED,
    }


def _at_work(round: Round) -> Run | None:
    """Return the run that the round waits for: the first of its state that has not ended, else the last one."""
    found = list(Run.objects.filter(round=round, purpose__in=PURPOSES.get(State(_at(round)), ())).order_by("pk"))
    return next((run for run in found if not run.is_final), found[-1] if found else None)


def _at(round: Round) -> str:
    """Return the state a round is in, or for a stalled one the state it stalled in."""
    return round.stalled_in or State.DRAFTING if round.state == State.STALLED else round.state


def _people_work(round: Round, run: Run | None) -> bool:
    in_gate = round.state == State.GATING and run is not None and run.state == Run.State.SUCCEEDED
    return round.state == State.LABELLING or in_gate


def _needed_pairs(round: Round, run: Run, wanted: int) -> int:
    return gates.needed(wanted, moves.settings_of_gate(round, run))


def _counts(round: Round) -> tuple[int, int, int]:
    """Return how many pairs people have judged in this state of the round, of how many, and how many are open."""
    if _at(round) in (State.DRAFTING, State.SAMPLING):
        return 0, 0, 0
    batch = gates.batch(round) if round.state == State.GATING else round.batch
    return moves.task_counts(round, batch)


def round_percent(run: Run | None) -> int | None:
    """Return how far the step's run is, in per cent; None without one."""
    if run is None or not run.total_steps:
        return None
    return int(100 * run.step / run.total_steps)


def drawn_steps(round: Round) -> list[Step]:
    """Return the state machine of a round with what is done, what goes on and what failed."""
    if round.is_gate_only:  # nothing went before
        return _drawn_of_gate(round)
    order = [state for state, _label in STEPS]
    at = _at(round)
    place = order.index(State(at)) if at in order else len(order)
    if round.state == State.CANCELLED:
        place = _reached(round)
    drawn = []
    for number, (_state, label) in enumerate(STEPS):
        state = "done" if number < place else ""
        if number == place and round.state != State.CANCELLED:
            state = "failed" if round.state == State.STALLED else "now"
        drawn.append(Step(label, state))
    return [*drawn, _decision(round)]


def _drawn_of_gate(round: Round) -> list[Step]:
    """Return the same of a round that only decides."""
    state = "failed" if round.state == State.STALLED else "done" if round.is_final else "now"
    if round.state == State.CANCELLED:
        state = ""
    return [Step(pgettext_lazy("step of a round", "Test"), state), _decision(round)]


def _decision(round: Round) -> Step:
    """Return the last step, with how the round ended where it has."""
    last = {State.PROMOTED: (_("Promoted"), "done"), State.REJECTED: (_("Turned down"), "failed")}
    last[State.CANCELLED] = (_("Cancelled"), "failed")
    label, state = last.get(State(round.state), (_("Decide"), ""))
    return Step(label, state)


def _reached(round: Round) -> int:
    """Return how many steps a cancelled round had done, as far as it left traces."""
    if round.candidate_id:
        return 5
    if round.snapshot_id:
        return 4
    return 2 if round.labelling_started_at else 1 if round.prompts else 0


def _report(round: Round) -> GateReport | None:
    return getattr(round.candidate, "gate_report", None) if round.candidate_id else None


def _human(round: Round) -> dict[str, Any] | None:
    """Return the human win rate of a round's candidate, or None when nobody compared it."""
    report = _report(round)
    found = next((f for f in report.figures if f["name"] == "human_win_rate"), None) if report else None
    return found if found and found["estimate"] is not None and found["low"] is not None else None


def _win_rates(history: list[Round]) -> charts.Chart | None:
    figures = [(str(one.index), figure) for one in history if (figure := _human(one)) is not None]
    return charts.interval_chart(
        figures,
        title=gettext("Human win rate against the policy before"),
        caption=gettext(
            "The dot is the share of blind pairs in which people preferred the new policy, a tie counting half; the "
            "bar is the range in which the true share lies with 95 per cent certainty. Wholly above the dashed line: "
            "better beyond doubt."
        ),
        x_label=gettext("Round"),
        y_label=gettext("win rate"),
        reference=(0.5, gettext("no difference")),
    )


def _win_rows(history: list[Round]) -> Iterator[list[Any]]:
    yield ["round", "state", "policy", "candidate", "win_rate", "low", "high", "n"]
    for one in history:
        rate = _human(one) or {}
        names = [one.policy.label, one.candidate.label if one.candidate else ""]
        yield [one.index, one.state, *names, *(rate.get(name) for name in ("estimate", "low", "high", "n"))]


def _audited(pairs: list[Asked]) -> charts.Chart | None:
    figures: list[tuple[str, dict[str, Any]]] = [(str(one.labels), asdict(one.audit)) for one in pairs if one.audit.n]
    return charts.interval_chart(
        figures,
        title=gettext("The reward model on the audit slice"),
        caption=gettext(
            "The dot is the share of pairs drawn at random and never learned from on which the reward model of that "
            "time agreed with people; the bar is the 95 per cent interval. It should rise with the labels it had "
            "learned from."
        ),
        x_label=gettext("labels before"),
        y_label=gettext("agrees with people"),
        reference=(0.5, gettext("a coin")),
    )


def _asked_rows(pairs: list[Asked]) -> Iterator[list[Any]]:
    names = ("agrees", "low", "high", "n")
    slices = [f"{slice}_{name}" for slice in ("chosen", "audit") for name in names]
    yield ["round", "rule", "labels_before", "pairs", "audit_pairs", *slices]
    for one in pairs:
        told = [value for of in (one.chosen, one.audit) for value in (of.estimate, of.low, of.high, of.n)]
        yield [one.round.index, one.rule, one.labels, one.pairs, one.audit_pairs, *told]


def _compared(campaign: Campaign, round: Round | None) -> list[Comparison]:
    if round is None:
        return []
    try:
        found = comparisons(round=round, limit=COMPARED)
    except (OSError, TrainingError):
        return []  # the file was cleared from the disk; the figures are in the database
    return [replace(one, messages=shown_turns(campaign, one.messages)) for one in found]


@campaign_page(Action.STEER)
@require_http_methods(["GET", "POST"])
def loop_new(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the form of a new loop; POST creates it, paused, and goes to its page."""
    if Loop.objects.filter(campaign=campaign).exists():
        return redirect("loop", campaign.pk)
    prompt_files = _prompt_files()
    policies = _policies(campaign)
    start = {"policy": policies[0] if policies else "", "prompts_path": prompt_files[0] if prompt_files else ""}
    form = LoopForm(sent(request), initial=start)
    if request.method == "POST" and not form.is_looked_at and form.is_valid():
        try:
            rounds.create_loop(
                campaign=campaign,
                policy=form.cleaned_data["policy"],
                prompts_path=form.cleaned_data["prompts_path"],
                settings=form.knob_values(),
                actor=request.user,
                reason=form.cleaned_data["reason"],
            )
        except Invalid as error:
            form.take_errors(error.errors or {"": [str(error)]})
        except GateClosed as error:
            form.add_error("reason", str(error))
        except (TrainingError, AnnotationError) as error:
            form.add_error(None, str(error))
        else:
            say(request, gettext("The loop is there. Nothing moves until you start its first round."))
            return redirect("loop", campaign.pk)
    context = {
        "form": form,
        "policies": policies,
        "prompt_files": prompt_files,
        "suites": _suites(campaign),
        "replaces": versions.current(campaign, ModelVersion.Kind.POLICY),
        "lead": True,
    }
    status = _status_of(form)
    return campaign_page_of(request, campaign, "loops/new.html", context, tab="loop", status=status)


@campaign_page(Action.STEER)
@require_http_methods(["GET", "POST"])
def loop_edit(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Return the loop's settings; POST changes them, for the round under way from its next step on."""
    loop = Loop.objects.filter(campaign=campaign).first()
    if loop is None:
        return redirect("loop-new", campaign.pk)
    loop.campaign = campaign
    form = LoopForm(sent(request), initial={name: shown(value) for name, value in loop.settings.items()})
    base = misnamed.correctable(campaign)
    for name in ("prompts_path", "reason") if base else ("policy", "prompts_path", "reason"):
        del form.fields[name]  # decided once: rounds would not be comparable otherwise
    if base is not None:
        form.initial["policy"] = base.path
        form.fields["policy"].help_text = gettext(
            "A folder on the server, or a hub name such as org/model. The name can be corrected until a run has read "
            "this policy; then it stays."
        )
    if request.method == "POST" and not form.is_looked_at and form.is_valid():
        try:
            policy = form.cleaned_data.get("policy", "")
            rounds.configure(loop=loop, settings=form.knob_values(), actor=request.user, policy=policy)
        except Invalid as error:
            form.take_errors(error.errors or {"": [str(error)]})
        except TrainingError as error:
            form.add_error(None, str(error))
        else:
            under_way = loop.rounds.exclude(state__in=Round.FINAL).exists()
            going = gettext("Saved. The round under way goes by it from its next step on.")
            say(request, going if under_way else gettext("Saved. The next round goes by it."))
            if loop.rounds.filter(state=State.GATING).exists():
                say(request, gettext("Its gate is open and keeps the limits it was opened with."))
            return redirect("loop", campaign.pk)
    context = {"form": form, "loop": loop, "lead": True, "suites": _suites(campaign), "base": base}
    status = _status_of(form)
    return campaign_page_of(request, campaign, "loops/edit.html", context, tab="loop", status=status)


def _status_of(form: LoopForm) -> int:
    """Return the status of a page with this form; whoever only adds or looks has done nothing wrong yet."""
    if form.is_looked_at:
        form.forget_errors()
    return 422 if form.errors else 200


def _policies(campaign: Campaign) -> list[str]:
    """Return the models a lead is likely to begin with: the campaign's own policies and the one that is shipped."""
    own = ModelVersion.objects.filter(campaign=campaign, kind=ModelVersion.Kind.POLICY).order_by("-number")
    shipped = paths.PACKAGE / "demo" / "model"
    found = list(own.values_list("path", flat=True)[:10])
    return [*found, *([paths.stored(shipped)] if shipped.is_dir() else [])]


def _suites(campaign: Campaign) -> QuerySet[Suite]:
    """Return the suites of questions that the campaign keeps, newest first; their paths may be a gate's."""
    return Suite.objects.filter(campaign=campaign, view=SUITE).order_by("-pk")[:20]


def _prompt_files() -> list[str]:
    """Return the prompt files there are: in the folder ``prompts`` below the files, and the one that is shipped."""
    found = [path for path in store.names("prompts") if path.count("/") == 1 and path.endswith(".jsonl")]
    shipped = paths.PACKAGE / "demo" / "prompts.jsonl"
    return [*found[:MOST_FILES], *([paths.stored(shipped)] if shipped.exists() else [])]


# What a lead can do with a loop or its round, by what was sent with it, and what is said afterwards.
ACTIONS: dict[str, tuple[Callable[[Loop, Round | None, Any, dict[str, str]], object], str | Promise]] = {
    "start": (
        lambda loop, round, actor, sent: rounds.start_round(loop=loop, actor=actor),
        _("The round has begun. The policy writes answers; people get them in a moment."),
    ),
    "go-on": (
        lambda loop, round, actor, sent: rounds.finish_labelling(
            round=_needed(round), actor=actor, reason=sent["reason"]
        ),
        _("The round goes on with what is judged. What nobody had judged was taken out of the queue."),
    ),
    "pause": (
        lambda loop, round, actor, sent: rounds.pause(loop=loop, actor=actor),
        _("The loop is paused. Work under way finishes, people may go on judging, and no step begins."),
    ),
    "resume": (
        lambda loop, round, actor, sent: rounds.resume(round=_needed(round), actor=actor),
        _("The round goes on where it stood."),
    ),
    "cancel": (
        lambda loop, round, actor, sent: rounds.cancel(round=_needed(round), actor=actor),
        _("The round is cancelled. Judgements are kept, and the policy in use stays in use."),
    ),
    "withdraw": (
        lambda loop, round, actor, sent: gate_orders.withdraw(version=_sent(loop, sent["version"]), actor=actor),
        _("It waits for the gate no longer. It can be sent again at any time."),
    ),
}


def _sent(loop: Loop, number: str) -> ModelVersion:
    """Return the version of this number that waits for the loop's gate."""
    for order in gate_orders.waiting(loop):
        if str(order.candidate_id) == number:
            return order.candidate
    raise Invalid(gettext("That policy does not wait for this loop's gate; it may have begun."))


def _needed(round: Round | None) -> Round:
    if round is None:
        raise Invalid(gettext("There is no round yet. Start one first."))
    return round


@campaign_page(Action.STEER)
@require_POST
def loop_action(request: SignedInRequest, campaign: Campaign) -> HttpResponse:
    """Start, go on with, pause, resume or cancel the loop's present round, or withdraw what waits for its gate."""
    loop = Loop.objects.filter(campaign=campaign).first()
    action = ACTIONS.get(request.POST.get("action", ""))
    if loop is None or action is None:
        complain(request, Invalid(gettext("There is nothing of that kind to do here.")))
        return redirect("loop", campaign.pk)
    loop.campaign = campaign
    do, sentence = action
    given = {name: request.POST.get(name, "").replace("\x00", "")[:2000] for name in ("reason", "version")}
    try:
        do(loop, loop.rounds.order_by("-index").first(), request.user, given)
    except (TrainingError, AnnotationError) as error:
        complain(request, error)
    else:
        say(request, sentence)
    return redirect("loop", campaign.pk)


@signed_in
@require_GET
def round_detail(request: SignedInRequest, round_id: int) -> HttpResponse:
    """Return one round: its steps, runs, judgements, gate report and the answers before and after."""
    round = round_for(request.user, round_id)
    campaign = round.loop.campaign
    report = _report(round)
    found = list(Run.objects.filter(round=round).select_related("output").order_by("pk"))
    context = {
        "round": round,
        "steps": drawn_steps(round),
        "runs": [(run, FOR.get(run.purpose, run.purpose)) for run in found],
        "divided": labelling.divided(next((run for run in found if run.purpose == "sample"), None)),
        "progress": batch_progress(campaign, round.batch),
        "gate_progress": batch_progress(campaign, gates.batch(round)),
        "report": report,
        "gate": [gate_figure(figure) for figure in report.figures] if report else [],
        "verdict": verdict(report) if report else "",
        "compared_round": round,
        # While people still compare, which answer is whose must not be shown to anybody who may judge.
        "compared": _compared(campaign, round) if round.is_final else [],
    }
    return campaign_page_of(request, campaign, "loops/round.html", context, tab="loop")
