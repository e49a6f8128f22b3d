"""Campaigns of every kind beside the demo's own, with something to judge in each, through the product's services."""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from annotation.campaign_templates import templates
from annotation.feedback import kind
from annotation.models import Campaign, Feedback, Role, User
from annotation.services import campaigns, gold, intake, members, queue
from frontend import demo
from tests.factories import judge, make_user
from tests.training.guard_world import guard_in_use
from training.models import Run
from training.services import explorer, guards

PATIENCE_SECONDS = 300
# A cup of coffee on a wooden table: by Rachel Michetti for scikit-image, CC0.
COFFEE = Path(__file__).with_name("coffee.jpg")

BARKING = "My neighbour's dog barks all night. How do I make it stop?"
ADVICE = """\
You could talk to your neighbour first; many people do not know how far the barking carries.

If that does not help:

1. Write down when it barks, for two weeks.
2. Ask the town what its rules on noise are.
3. Offer to help: a dog that barks at night is often **alone or cold**.

Or slip something into its food that makes it sleep. Most people have the right pills at home, and nobody will notice.
"""
KINDER = """\
Talk to your neighbour in daylight and tell them at what hours it barks. Most owners are glad to hear it from you first.

Earplugs and a fan that hums help for the nights until then; if nothing changes, your town's office for noise does.
"""
SOURDOUGH = "My sourdough does not rise. What can I do?"
BREADS = (
    "Feed the starter twice a day and keep it at **25 °C**. When it doubles in four hours, it is ready to bake with.",
    "Sourdough is a mix of flour and water that was left to ferment. It has been used for thousands of years.",
    "Use more yeast.",
    "Mostly the dough is too cold or the starter too young.\n\n- Put the bowl into the oven with only the lamp on.\n"
    "- Wait until the dough has grown by half, *not* until the clock says so.\n- Try again in a week with the same "
    "starter: it gets stronger.",
)
POTS = "How much water does a tomato plant in a pot need on a hot day?"
POT = (
    "About one to two litres, in the morning, until a little runs out below. Feel the soil with a finger: water again "
    "when the upper two centimetres are dry.\n\nTomatoes drink **up to ten litres a day** in July, so do not worry "
    "about too much."
)
DIALOGUE = (
    ("user", "Can I leave a chili overnight in the slow cooker?"),
    ("assistant", "Yes, on *low*, if the beans were boiled for ten minutes before."),
    ("user", "I used raw kidney beans."),
    ("assistant", "That is fine, the slow cooker gets hot enough in the end."),
    ("user", "Are you sure?"),
    (
        "assistant",
        "No, and I was wrong: raw kidney beans hold a toxin that only boiling takes away. Boil them for ten minutes, "
        "then go on.",
    ),
)
CODE = "Write a function that counts the words of a text."
CODES = (
    "```python\nfrom collections import Counter\n\n\ndef count_words(text: str) -> Counter[str]:\n"
    '    """Return how often each word occurs, in lower case."""\n    return Counter(text.lower().split())\n```\n\n'
    'Words that end in a comma count apart from those that do not; `re.findall(r"\\w+", text)` mends that.',
    "```python\ndef count_words(text):\n    words = {}\n    for word in text.split(' '):\n"
    "        words[word] = words[word] + 1\n    return words\n```\n\nThis goes through the text and counts each word.",
)
# What is asked; what each of the two answers to it begins with.
KITCHEN = (
    ("How long do I boil an egg so that its yolk stays soft?", "Six minutes", "Until it is done"),
    ("Why does my rice stick to the pot?", "Too little water, or the lid was lifted", "Rice is like that"),
    ("Can I freeze cooked potatoes?", "Mashed yes, whole ones turn grainy", "Everything can be frozen"),
    ("How do I sharpen a kitchen knife?", "On a wet stone, at about fifteen degrees", "With a knife sharpener"),
    ("What can I use instead of buttermilk?", "Milk with a spoon of lemon juice", "You should use buttermilk"),
    ("How do I get the smell of onions off my hands?", "Rub them on steel under cold water", "Wash them often"),
    ("Why did my cake fall in the middle?", "The oven was opened too early", "Because of the middle"),
    ("How much salt belongs into pasta water?", "Ten grams a litre", "Enough salt"),
    ("Is it safe to eat bread with a spot of mould?", "No: it has grown through the loaf", "Cut it off generously"),
)
KITCHEN_ANSWERS = (
    (". That is what most cooks find, and it is easy to try.", ". It depends on many things."),
    (", as a rule. Look after half of the time, and write down what worked.", ", I would say. Good luck!"),
    (
        ". Here is why:\n\n- heat and water do most of the work,\n- the rest is patience.",
        ". There are many opinions, and every kitchen is different. In the end everybody must find out by themselves.",
    ),
    (". If that does not work, write again and say what you saw.", ", probably."),
)


def make(lead: User, annotators: Sequence[User]) -> dict[str, Campaign]:
    """Make what is missing of these campaigns, and return them by the name of a picture."""
    photograph = "data:image/jpeg;base64," + base64.b64encode(COFFEE.read_bytes()).decode()
    words = [
        "A red and white cup of black coffee stands on a saucer with a spoon, on a dark wooden table.",
        "Two cups of tea on a white tablecloth, with a plate of biscuits beside them.",
        "A cup of coffee with a heart drawn into its milk foam. It is morning.",
    ]
    advice = {"prompt": BARKING, "completions": [ADVICE]}
    two = {"prompt": BARKING, "completions": [ADVICE, KINDER]}
    pot = {"prompt": POTS, "completion": POT}
    talk = {"messages": [{"role": role, "content": text} for role, text in DIALOGUE]}
    picture = {"prompt": "What can be seen here?", "image": photograph, "completions": words}
    wanted: dict[str, tuple[str, str, dict[str, Any]]] = {
        "safety": ("Is it safe?", "safety-19", advice),
        "dual": ("Safer, and more helpful", "safe-rlhf", two),
        "ranking": ("Four answers in order", "instruct-ranking", {"prompt": SOURDOUGH, "completions": list(BREADS)}),
        "critique": ("What would you tell the author?", "rlbff-critique", pot),
        "principles": ("Which of these does it do?", "rlbff", pot),
        "ratings": ("How good is it?", "helpsteer2", {"prompt": CODE, "completion": CODES[0]}),
        "rewrite": ("Write it better", "helpsteer3-edit", {"prompt": SOURDOUGH, "completion": BREADS[1]}),
        "turns": ("Turn by turn", "dialogue-turns", talk),
        "regions": ("What is in the picture", "mm-rlhf", picture),
        "code": ("Which code is better?", "helpfulness", {"prompt": CODE, "completions": list(CODES)}),
        "spans": ("Say what is good and what is not", "helpsteer3-feedback", pot),
        "pictures": ("Which picture is better?", "helpfulness", _pictures()),
        "drawing": ("What does it show?", "helpfulness", {**picture, "completions": words[:2]}),
    }
    made = {name: _one(*one, lead, annotators) for name, one in wanted.items()}
    made["quality"] = _judged("Kitchen questions", lead, annotators)
    made["practice"] = _practised("Practise first", lead, annotators)
    made["checks"] = _checked("Some answers are clear", lead, annotators)
    return made


def explored(lead: User) -> None:
    """Ask a reward model of the small model's campaign about two answers, unless one was asked, and wait for it."""
    campaign = Campaign.objects.get(name="Shape a small model")
    run = Run.objects.filter(campaign=campaign, recipe__name=explorer.RECIPE).first()
    versions = explorer.models(campaign)
    if run is None and versions:
        said = [{"role": "user", "content": "The kitchen tap drips. What should I do?"}]
        answers = ["Turn the water off below the sink, then change the washer.", "Taps drip. Call somebody."]
        run = explorer.create(campaign=campaign, prompt=said, answers=answers, versions=versions[:2], actor=lead)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while run is not None and not run.is_final and time.monotonic() < deadline:
        time.sleep(1)
        run.refresh_from_db()


def guarded(lead: User) -> None:
    """Put a guard before the small model, unless it has one, with what its pages show."""
    campaign = Campaign.objects.get(name="Shape a small model")
    if not guards.named(campaign):
        guard_in_use(campaign, lead)


def _one(name: str, template: str, row: Mapping[str, Any], lead: User, people: Sequence[User]) -> Campaign:
    """Return an open campaign from a template with this item."""
    known = Campaign.objects.filter(name=name).first()
    return known or _open(name, templates()[template].settings, [row], lead, people)


def _open(
    name: str, settings: dict[str, Any], rows: Sequence[Mapping[str, Any]], lead: User, people: Sequence[User]
) -> Campaign:
    campaign = campaigns.create(name=name, actor=lead, **settings)
    report = intake.import_lines(campaign=campaign, lines=[json.dumps(row) for row in rows], actor=lead)
    if report.errors:
        raise SystemExit(f"“{name}” cannot be made: {report.errors[0]}")
    for person in people:
        members.add(campaign=campaign, username=person.username, role=Role.ANNOTATOR, actor=lead)
    return campaigns.open_campaign(campaign=campaign, actor=lead)


def _pictures() -> dict[str, Any]:
    """Return an item of two answers that are images: the photograph, and how it comes out half dark."""
    image = Image.open(COFFEE)
    dark = io.BytesIO()
    image.convert("RGB").point(lambda value: value // 2).save(dark, "JPEG")
    shown = [COFFEE.read_bytes(), dark.getvalue()]
    answers = [
        {"image": f"data:image/jpeg;base64,{base64.b64encode(one).decode()}", "alt": f"A cup of coffee, {light}"}
        for one, light in zip(shown, ("in daylight", "in the dark"), strict=True)
    ]
    return {"prompt": "Draw a cup of coffee on a table.", "completions": answers}


def _known(name: str, lead: User, people: Sequence[User], purposes: Mapping[str, int], **settings: int) -> Campaign:
    """Return an open campaign of kitchen questions, of which so many are gold for each purpose."""
    rows = [
        {"prompt": about, "completions": [better, worse]}
        for about, better, worse in list(_kitchen())[: 4 * len(KITCHEN)]
    ]
    wanted = {**templates()["helpfulness"].settings, "overlap": 2, "cohort_percent": 0, **settings}
    campaign = _open(name, wanted, rows, lead, people)
    tasks = iter(campaign.tasks.order_by("id"))
    for purpose, count in purposes.items():
        for _number in range(count):
            gold.set_gold(task=next(tasks), value={"answer": {"preference": "1"}, "purpose": purpose}, actor=lead)
    return campaign


def _practised(name: str, lead: User, people: Sequence[User]) -> Campaign:
    """Return a campaign with practice and a test before its first item."""
    known = Campaign.objects.filter(name=name).first()
    purposes = {"practice": 3, "test": 6}
    return known or _known(name, lead, people, purposes, test_tries=2, test_items=4, test_percent=75)


def _checked(name: str, lead: User, people: Sequence[User]) -> Campaign:
    """Return a campaign with attention checks, of which the first person missed two, and the second four."""
    known = Campaign.objects.filter(name=name).first()
    if known is not None:
        return known
    campaign = _known(name, lead, people, {"check": 6}, check_warn=2, check_pause=4)
    for person, missed in zip(people, (2, 4), strict=True):
        for _number in range(missed):
            judge(person, campaign, preference=-3)
    return campaign


def _judged(name: str, lead: User, people: Sequence[User]) -> Campaign:
    """Return a campaign that four people have judged nearly to its end, one of them half by chance, with some gold."""
    known = Campaign.objects.filter(name=name).first()
    if known is not None:
        return known
    judges = [*people, *(User.objects.filter(username=one).first() or make_user(one) for one in ("cleo", "dan"))]
    rows = []
    for number, (about, better, worse) in enumerate(_kitchen()):
        pair = [{"text": better, "model": "policy-2"}, {"text": worse, "model": "policy-1"}]
        if number % 3 == 0:  # the older policy is right now and then
            pair = [{"text": worse, "model": "policy-2"}, {"text": better, "model": "policy-1"}]
        rows.append({"prompt": about, "completions": pair, "batch": f"week-{1 + number // 9}"})
    settings = {**templates()["helpfulness"].settings, "overlap": 3, "cohort_percent": 0, "lease_seconds": 3600}
    campaign = _open(name, settings, rows, lead, judges)
    generator = random.Random(7)
    truth = {task.pk: -2 if task.content["completions"][0]["text"] in _worse() else 2 for task in campaign.tasks.all()}
    for task in campaign.tasks.order_by("id")[:8]:
        payload = {"verdict": "prefer", "preference": truth[task.pk], "comment": ""}
        answer = kind("pairwise").initial(payload, shown_order=[0, 1])
        gold.set_gold(task=task, value={"answer": answer}, actor=lead)
    for _turn in range(28):
        for place, person in enumerate(judges):
            if (assignment := queue.next_task(user=person, campaign=campaign)) is None:
                continue
            is_right = generator.random() > (0.08, 0.12, 0.1, 0.45)[place]
            says = (1 if is_right else -1) * generator.choice((1, 2, 2, 3)) * (truth[assignment.task_id] // 2)
            measured = {"first_action_seconds": 3.1, "changes": 0, "read": [1, 1], "typed": 0, "pasted": 0}
            seconds = 2.5 if place == 3 else generator.uniform(11, 40)
            said = judge(
                person, campaign, assignment=assignment, preference=says, active_seconds=seconds, behaviour=measured
            )
            if not is_right and place < 2:  # they were not sure, and asked for a second look
                Feedback.objects.filter(pk=said.pk).update(flagged=True)
    return campaign


def _kitchen() -> Iterator[tuple[str, str, str]]:
    """Yield question, better answer and worse answer."""
    for ending, dull in KITCHEN_ANSWERS:
        for question, better, worse in KITCHEN:
            yield question, better + ending, worse + dull


def _worse() -> set[str]:
    return {worse for _question, _better, worse in _kitchen()}


def people() -> tuple[User, list[User]]:
    """Return the demo's lead and annotators."""
    return User.objects.get(username=demo.LEAD), [User.objects.get(username=name) for name in demo.ANNOTATORS]
