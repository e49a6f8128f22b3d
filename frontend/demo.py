"""What the demo starts with: three people and two campaigns, one of real answers and one that shapes a small model.

Every step looks at what is there already, so that it can be interrupted anywhere and asked for again, and so that a
second start changes nothing that people did since.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

from django.db import transaction

import annotation
from annotation.models import Campaign, Event, Role, User
from annotation.services import campaigns, events, intake, members
from annotation.services.people import new_password
from training import paths
from training.models import Loop, Round, Run
from training.recipes.demo_gold import DEMO_SETTINGS
from training.services import rounds

LEAD, ANNOTATORS = "lead", ("ann", "ben")
PAIRS = Path(annotation.__file__).parent / "demo" / "hh_helpful.jsonl.gz"
MODEL = paths.PACKAGE / "demo" / "model"
PROMPTS = paths.PACKAGE / "demo" / "prompts.jsonl"
SAMPLING_PATIENCE_SECONDS = 900.0

REAL_ANSWERS = """\
You see a conversation and two answers to its last message. Say which answer would help the person more.

- **Read both answers first.** They come from early research models: some are wrong, evasive or odd.
- A helpful answer does what was asked, is right as far as you can tell, and is as long as it needs to be.
- A question back is helpful when the answer really depends on it; it is not when it only puts the answer off.
- **Much better** is for a difference that anybody would see. When you hesitate between two degrees, take the smaller.
- Use the tie when they help equally. *Both are bad* is for two answers you would not give to anybody.
- Skip what you cannot judge, and say why: that is information too.
"""

SHAPE = """\
A small model gives advice about the house and the garden. It can answer in several manners: warm or curt, long or
short, careful or careless. **You decide which manner it keeps.**

- Choose the answer in the manner you want more of, and stay with it: thirty steady judgements show.
- Do not judge whether the advice is right; the model knows only a few dozen sentences.
- When all pairs are judged, or the lead presses *Train now*, the model learns from them and answers again. The new
  answers then come into this same queue, first a few that compare it with the old model.
"""


def seed() -> Round | None:
    """Make what is missing and return the first round while its answers are not in the queue yet."""
    lead = _person(LEAD, "Lena", "Lead")
    for name in ANNOTATORS:
        _person(name, name.capitalize(), "Annotator")
    real = _campaign(
        "real-answers",
        actor=lead,
        name="Real answers",
        description="Which answer helps more? 400 real pairs from HH-RLHF (MIT).",
        guideline=REAL_ANSWERS,
    )
    if real.state == Campaign.State.DRAFT:
        with gzip.open(PAIRS, "rb") as lines:
            report = intake.import_lines(campaign=real, lines=lines, actor=lead)
        if report.errors:
            raise RuntimeError(f"The shipped pairs cannot be read: {report.errors[0]}")
        _open(real, lead)
    shape = _campaign(
        "shape",
        actor=lead,
        name="Shape a small model",
        description="Judge about thirty pairs, train, and see the model change towards what you preferred.",
        guideline=SHAPE,
        options={"question": "Which answer should the model give more often?"},
    )
    if shape.state == Campaign.State.DRAFT:
        _open(shape, lead)
    loop = Loop.objects.filter(campaign=shape).first()
    if loop is None:
        loop = rounds.create_loop(
            campaign=shape,
            policy=paths.stored(MODEL),
            prompts_path=paths.stored(PROMPTS),
            settings=DEMO_SETTINGS,
            actor=lead,
        )
    first = loop.rounds.order_by("index").first() or rounds.start_round(loop=loop, actor=lead)
    return first if first.state in (Round.State.DRAFTING, Round.State.SAMPLING) else None


def _person(username: str, first_name: str, last_name: str) -> User:
    """Return the account; a new one has no password until `hand_out_passwords` prints one."""
    user, _ = User.objects.get_or_create(
        username=username, defaults={"first_name": first_name, "last_name": last_name, "password": "!"}
    )
    return user


def _campaign(
    key: str, *, actor: User, name: str, description: str, guideline: str, options: dict[str, object] | None = None
) -> Campaign:
    """Return the campaign that was seeded under `key`, whatever it is called by now, or make it."""
    seeded = Event.objects.filter(action="demo.seeded", target=key, campaign__isnull=False).first()
    if seeded is not None and seeded.campaign is not None:
        return seeded.campaign
    with transaction.atomic():
        made = campaigns.create(
            name=name, actor=actor, description=description, guideline=guideline, options=options or {}
        )
        events.record(campaign=made, actor=actor, action="demo.seeded", target=key)
    return made


@transaction.atomic
def _open(campaign: Campaign, lead: User) -> None:
    for name in ANNOTATORS:
        members.add(campaign=campaign, username=name, role=Role.ANNOTATOR, actor=lead)
    campaigns.open_campaign(campaign=campaign, actor=lead)


def wait_for_answers(first: Round, *, say: Callable[[str], None], meanwhile: Callable[[], None]) -> None:
    """Return when the round's answers wait in the queue, or say why they do not; `meanwhile` is called every second."""
    deadline = time.monotonic() + SAMPLING_PATIENCE_SECONDS
    said = ""
    while True:
        meanwhile()
        first.refresh_from_db()
        if first.state == Round.State.STALLED:
            say(f"  The model's answers are not there: {first.note} The lead's page of the loop shows more.")
            return
        if first.state not in (Round.State.DRAFTING, Round.State.SAMPLING):
            say("  Small model's answers: ready")
            return
        if time.monotonic() > deadline:
            say("  The model still writes its answers; they will appear in the queue. Look at the lead's page of runs.")
            return
        run = Run.objects.filter(round=first).order_by("-pk").first()
        line = f"  Small model's answers: {run.step} of {run.total_steps}" if run and run.total_steps else ""
        if line and line != said:
            say(line)
            said = line
        time.sleep(1)


def hand_out_passwords(*, again: bool) -> list[tuple[User, str]]:
    """Return the people who got a new password now: those without one, or everybody when asked `again`.

    Only here are passwords known; the database keeps hashes. They are made last, when somebody is there to read them.
    """
    handed_out = []
    for user in User.objects.filter(username__in=(LEAD, *ANNOTATORS)).order_by("pk"):
        if again or not user.has_usable_password():
            password = new_password()
            user.set_password(password)
            user.save(update_fields=["password"])
            handed_out.append((user, password))
    return handed_out
