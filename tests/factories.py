"""Plain functions that make what tests need, through the same services that the product uses."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from typing import Any

from annotation.feedback import kind
from annotation.models import Assignment, Campaign, Feedback, Membership, Role, Task, User
from annotation.services import campaigns, intake, queue, submission

PASSWORD = "a long enough password"
_numbers = itertools.count(1000)  # beyond the numbers that tests give themselves


def make_user(username: str | None = None, *, password: str | None = None, **fields: Any) -> User:
    """Return a new user. Without a password they cannot sign in by form; `client.force_login` still works."""
    user = User(username=username or f"person{next(_numbers)}", **fields)
    if password is None:
        user.set_unusable_password()
    else:
        user.set_password(password)
    user.save()
    return user


def make_campaign(
    name: str | None = None,
    *,
    lead: User | None = None,
    annotators: tuple[User, ...] | list[User] = (),
    engineers: tuple[User, ...] | list[User] = (),
    reviewers: tuple[User, ...] | list[User] = (),
    tasks: int = 0,
    overlap: int = 1,
    lease_seconds: int = 1800,
    kind: str = "pairwise",
    options: dict[str, Any] | None = None,
    guideline: str = "Prefer the answer that helps more.",
    is_open: bool = True,
) -> Campaign:
    """Return a campaign with its people and `tasks` pairs, open unless told otherwise."""
    lead = lead or make_user()
    campaign = campaigns.create(
        name=name or f"Campaign {next(_numbers)}",
        actor=lead,
        kind=kind,
        options=options,
        overlap=overlap,
        lease_seconds=lease_seconds,
        guideline=guideline,
    )
    for role, people in ((Role.ANNOTATOR, annotators), (Role.ENGINEER, engineers), (Role.REVIEWER, reviewers)):
        for person in people:
            Membership.objects.create(campaign=campaign, user=person, role=role)
    for number in range(tasks):
        make_task(campaign, number=number)
    if is_open:
        campaigns.open_campaign(campaign=campaign, actor=lead)
    campaign.refresh_from_db()
    return campaign


def make_task(
    campaign: Campaign,
    *,
    number: int | None = None,
    prompt: str | None = None,
    completions: Sequence[str] | None = None,
    origins: Sequence[str] = ("model-a", "model-b", "model-c", "model-d"),
    **fields: Any,
) -> Task:
    """Return a new pair; `fields` are those of `intake.make_task`, such as `wanted`, `priority`, `batch`, `meta`."""
    number = next(_numbers) if number is None else number
    texts = completions or (f"Answer one to question {number}.", f"Answer two to question {number}.")
    external_id = fields.pop("external_id", f"item-{number}")
    task, _ = intake.make_task(
        campaign=campaign,
        messages=[{"role": "user", "content": prompt or f"Question {number}?"}],
        completions=list(zip(texts, origins, strict=False)),
        external_id=external_id,
        **fields,
    )
    return task


def make_assignment(user: User, campaign: Campaign) -> Assignment:
    """Return what this person would judge now; fails the test when there is nothing."""
    assignment = queue.next_task(user=user, campaign=campaign)
    assert assignment is not None, "There is no item left for this person."
    return assignment


def judge(
    user: User,
    campaign: Campaign,
    *,
    preference: int | None = None,
    data: dict[str, Any] | None = None,
    assignment: Assignment | None = None,
    client_key: str | None = None,
    active_seconds: float | None = None,
    behaviour: Any = None,
) -> Feedback:
    """Return this person's judgement of their next item (or of `assignment`).

    `preference` is canonical, -3..3, positive for completion 0; `data` instead is as shown on the screen.
    """
    assignment = assignment or make_assignment(user, campaign)
    if data is None:
        preference = 2 if preference is None else preference
        payload = {"verdict": "prefer" if preference else "tie", "preference": preference, "comment": ""}
        data = kind(campaign.kind).initial(payload, shown_order=assignment.shown_order)
    return submission.submit(
        assignment=assignment,
        data=data,
        client_key=client_key or uuid.uuid4().hex,
        active_seconds=active_seconds,
        behaviour=behaviour,
    )


def loaf(number: int) -> str:
    """Return one of 120 questions, of which none is nearly another: such a one would be no prompt to test on."""
    breads = ("rye", "wheat", "spelt", "oat", "corn", "malt", "soda", "milk", "onion", "olive", "walnut", "potato")
    ways = (
        *("in a tin", "on a hot stone", "without an oven", "overnight", "for ten guests", "at a campfire"),
        *("with little salt", "that keeps a week", "as my grandmother did", "from yesterday's dough"),
    )
    return f"How do I bake {breads[number % 12]} bread {ways[number // 12 % 10]}, and how warm must loaf {number} be?"
