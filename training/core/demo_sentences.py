"""The demo's small world: every sentence its model learns from. Standard library only.

A question joins an object and a circumstance of one topic. An answer says what to do, which follows from both, in a
style of three independent choices: warm or curt, long or short, careful or careless. Each choice shows in every
answer, so that a person who compares two of them sees at once how they differ.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Circumstance:
    """What is the matter, and what helps. `{o}` stands for the object; all but `says` are used in answers."""

    says: str  # completes one of the topic's questions
    advice: str  # what to do, as a verb phrase
    reason: str  # a whole sentence
    then: str  # the next thing to do, as a verb phrase
    check: str  # what a careful person does first, as a verb phrase


@dataclass(frozen=True)
class Topic:
    """A subject with its questions, its objects (each with a fact about it) and its circumstances."""

    name: str
    questions: tuple[str, ...]
    objects: dict[str, str]
    circumstances: tuple[Circumstance, ...]
    expert: str
    wish: str


GARDEN = Topic(
    "garden",
    ("My {o} {says}. What should I do?", "What can I do when my {o} {says}?", "Help, my {o} {says}!"),
    {
        "basil": "Basil loves a warm kitchen window.",
        "tomato plant": "A tomato plant needs sun for half the day.",
        "rose": "A rose likes deep soil and fresh air.",
        "fern": "A fern is happiest in damp shade.",
        "lavender": "Lavender grows best in dry and stony soil.",
        "cactus": "A cactus drinks very little in winter.",
        "orchid": "An orchid prefers rain water at room temperature.",
        "lemon tree": "A lemon tree wants a bright and cool winter.",
    },
    (
        Circumstance(
            "has yellow leaves",
            "water the {o} less and let the soil dry out",
            "Yellow leaves often mean that the roots are too wet.",
            "pick off the yellow leaves",
            "feel the soil with a finger",
        ),
        Circumstance(
            "hangs its head",
            "stand the pot of the {o} in water for ten minutes",
            "A drooping plant is thirsty or too hot.",
            "move it out of the midday sun",
            "look whether the roots are dry",
        ),
        Circumstance(
            "is covered in tiny insects",
            "wash the {o} with mild soapy water",
            "Small insects breed fast on soft leaves.",
            "repeat it every three days",
            "try the soap on a single leaf",
        ),
        Circumstance(
            "has stopped growing",
            "give the {o} a little plant food and more light",
            "Old soil holds almost no food.",
            "turn the pot a little every week",
            "read the dose on the bottle",
        ),
        Circumstance(
            "will be alone for two weeks",
            "lead a wet string from a bucket into the pot of the {o}",
            "The string carries water to the soil drop by drop.",
            "draw the curtain halfway",
            "test the string for a night",
        ),
        Circumstance(
            "has outgrown its pot",
            "move the {o} into a pot that is two fingers wider",
            "Crowded roots cannot take up water.",
            "fill the gaps with fresh soil",
            "make sure that the new pot has a hole",
        ),
    ),
    expert="the gardener next door",
    wish="I hope your {o} will soon be green and happy!",
)

KITCHEN = Topic(
    "kitchen",
    ("My {o} {says}. How can I save it?", "What do I do if my {o} {says}?", "Oh dear, my {o} {says}!"),
    {
        "tomato soup": "Tomato soup loves a pinch of sugar.",
        "vegetable curry": "A vegetable curry is even better the next day.",
        "potato stew": "A potato stew thickens by itself while it rests.",
        "mushroom sauce": "Mushroom sauce goes well with thyme.",
        "bean chili": "Bean chili needs a slow fire and a lid.",
        "pea soup": "Pea soup takes a little mint very well.",
        "pumpkin soup": "Pumpkin soup shines with a drop of oil.",
        "lentil stew": "A lentil stew likes a splash of vinegar.",
    },
    (
        Circumstance(
            "is too salty",
            "stretch the {o} with water and a raw potato",
            "A raw potato takes up some of the salt.",
            "cook it for ten more minutes",
            "taste a small spoonful",
        ),
        Circumstance(
            "has burnt at the bottom",
            "pour the {o} into a clean pot and leave the burnt part behind",
            "Scraping brings the burnt taste into the food.",
            "cook on at a low heat",
            "smell whether the top is still good",
        ),
        Circumstance(
            "is too thin",
            "let the {o} simmer without a lid",
            "The steam carries the extra water away.",
            "stir in a spoonful of starch",
            "mix the starch with cold water",
        ),
        Circumstance(
            "tastes of nothing",
            "season the {o} with lemon, pepper and herbs",
            "Something sour wakes up a dull dish.",
            "let it rest for five minutes",
            "ask whether a guest has an allergy",
        ),
        Circumstance(
            "has to feed six more guests",
            "stretch the {o} with stock and serve it with bread",
            "Bread fills hungry people quickly.",
            "put a large salad beside it",
            "count the plates",
        ),
        Circumstance(
            "is left over from yesterday",
            "heat the {o} slowly and stir it often",
            "Slow heat keeps the taste and the colour.",
            "add a spoonful of fresh herbs",
            "make sure that it was kept cold",
        ),
    ),
    expert="the cook at the corner",
    wish="I hope your {o} will taste wonderful!",
)

REPAIRS = Topic(
    "repairs",
    ("My {o} {says}. How do I fix it?", "What helps when my {o} {says}?", "I am fed up, my {o} {says}!"),
    {
        "kitchen door": "A kitchen door suffers from steam and heat.",
        "garden gate": "A garden gate needs a coat of oil each spring.",
        "cellar door": "A cellar door swells when the air is damp.",
        "balcony door": "A balcony door carries a heavy pane of glass.",
        "bathroom window": "A bathroom window should be wiped dry after each bath.",
        "wardrobe door": "A wardrobe door hangs on two small hinges.",
        "attic window": "An attic window catches all the wind and rain.",
        "shed door": "A shed door stands on the ground and rots from below.",
    },
    (
        Circumstance(
            "squeaks all night",
            "put a drop of oil on each hinge of the {o}",
            "Dry metal rubs and sings.",
            "swing it ten times",
            "wipe the dust off the hinges",
        ),
        Circumstance(
            "sticks in wet weather",
            "rub the edge of the {o} with a candle",
            "Wood swells when it is wet.",
            "sand the tight spot in summer",
            "mark the spot where it rubs",
        ),
        Circumstance(
            "has a loose handle",
            "tighten the small screw below the handle of the {o}",
            "A loose screw wears out the lock.",
            "put a dab of glue on the thread",
            "see whether the screwdriver fits",
        ),
        Circumstance(
            "does not close properly",
            "lift the {o} a little with a thin washer on each hinge",
            "A tired hinge lets everything sink.",
            "tighten all the screws",
            "support the weight with a wedge",
        ),
        Circumstance(
            "rattles in the wind",
            "stick a strip of felt along the frame of the {o}",
            "A soft strip fills the gap.",
            "press it down well",
            "measure the gap with a ruler",
        ),
        Circumstance(
            "has flaking paint",
            "sand the {o} down and paint it twice",
            "New paint does not hold on old flakes.",
            "let it dry for a day",
            "put on a mask and gloves",
        ),
    ),
    expert="a carpenter",
    wish="I hope your {o} will serve you well for years!",
)

OUTINGS = Topic(
    "outings",
    ("How do I visit the {o} {says}?", "I want to go to the {o} {says}. Any advice?", "Is the {o} a good idea {says}?"),
    {
        "library": "The library stands behind the town hall.",
        "market": "The market is loudest before noon.",
        "swimming pool": "The swimming pool lies beside the river.",
        "museum": "The museum has a quiet garden.",
        "harbour": "The harbour smells of salt and tar.",
        "castle": "The castle looks over the whole valley.",
        "zoo": "The zoo feeds the seals at three.",
        "theatre": "The theatre opens its doors at seven.",
    },
    (
        Circumstance(
            "with a small child",
            "go to the {o} in the morning and pack a snack",
            "Small children are fresh in the morning.",
            "plan a break after an hour",
            "find out where the toilets are",
        ),
        Circumstance(
            "with a dog",
            "walk to the {o} along the river and keep the dog on a lead",
            "A tired dog behaves better.",
            "bring a bowl of water",
            "ask whether dogs may come in",
        ),
        Circumstance(
            "on a rainy day",
            "take the tram to the {o} and wear good boots",
            "The tram stops right at the entrance.",
            "hang up the wet coat inside",
            "look at the weather map",
        ),
        Circumstance(
            "with a heavy suitcase",
            "leave the suitcase at the station and go on to the {o}",
            "The lockers at the station are cheap.",
            "keep the key in a pocket",
            "make sure that the lockers are open",
        ),
        Circumstance(
            "with little money",
            "visit the {o} on a Thursday evening",
            "Everything costs half on Thursday evenings.",
            "bring some bread from home",
            "compare the prices by telephone",
        ),
        Circumstance(
            "on a Sunday",
            "be at the {o} before the crowd comes",
            "Half the town goes out after lunch on a Sunday.",
            "leave by the side gate",
            "read the opening hours",
        ),
    ),
    expert="the people at the desk",
    wish="I hope you will have a beautiful day at the {o}!",
)

LAUNDRY = Topic(
    "laundry",
    (
        "There is {says} on my {o}. How do I get it out?",
        "How do I get {says} out of a {o}?",
        "Oh no, {says} on my {o}!",
    ),
    {
        "wool jumper": "A wool jumper shrinks in hot water.",
        "white shirt": "A white shirt turns bright again in the sun.",
        "linen tablecloth": "A linen tablecloth can bear a hot iron.",
        "sofa cover": "A sofa cover dries best when it lies flat.",
        "cotton dress": "A cotton dress loses its colour in strong soap.",
        "carpet": "A carpet must never get wet all through.",
        "denim jacket": "A denim jacket should be turned inside out.",
        "silk scarf": "A silk scarf wants cool water and no rubbing.",
    },
    (
        Circumstance(
            "red wine",
            "dab the {o} with cold water and cover the spot with salt",
            "Salt pulls the wine out of the cloth.",
            "brush the salt off after an hour",
            "try it on a hidden corner",
        ),
        Circumstance(
            "coffee",
            "rinse the {o} with cool water and a little vinegar",
            "Coffee goes away while it is fresh.",
            "press it dry with a towel",
            "read the label",
        ),
        Circumstance(
            "candle wax",
            "cool the {o} with ice and break the wax off",
            "Cold wax is brittle.",
            "iron the rest into a paper towel",
            "set the iron to low",
        ),
        Circumstance(
            "grass",
            "rub the {o} softly with soap and warm water",
            "Green juice sticks until soap loosens it.",
            "rinse it twice",
            "see whether the colour holds",
        ),
        Circumstance(
            "ink",
            "soak the {o} in warm milk for an hour",
            "The fat in the milk takes up the ink.",
            "change the milk when it turns blue",
            "put a cloth below the spot",
        ),
        Circumstance(
            "chocolate",
            "scrape the {o} clean and wash the spot from behind",
            "Washing from behind pushes the brown out.",
            "use soap for the rest",
            "let the chocolate get hard",
        ),
    ),
    expert="the cleaner in the high street",
    wish="I hope your {o} will look like new!",
)

PETS = Topic(
    "pets",
    ("My {o} {says}. What should I do?", "What helps when my {o} {says}?", "I am worried because my {o} {says}."),
    {
        "cat": "A cat likes to watch the room from above.",
        "dog": "A dog trusts people who keep to the hour.",
        "rabbit": "A rabbit must always have hay.",
        "parrot": "A parrot talks most in the evening.",
        "hamster": "A hamster wakes up when it gets dark.",
        "guinea pig": "A guinea pig needs a friend of its kind.",
        "kitten": "A kitten sleeps for most of the day.",
        "puppy": "A puppy learns in very short lessons.",
    },
    (
        Circumstance(
            "will not eat",
            "offer the {o} a small fresh meal in a quiet room",
            "Noise spoils the appetite of an animal.",
            "take the bowl away after an hour",
            "see whether the teeth look well",
        ),
        Circumstance(
            "hides all day",
            "sit on the floor near the {o} and read a book",
            "A calm person is the best invitation.",
            "leave a treat beside you",
            "look for signs of pain",
        ),
        Circumstance(
            "is afraid of thunder",
            "build the {o} a dark cave out of blankets",
            "A small dark place feels safe.",
            "play soft music",
            "make sure that the windows are shut",
        ),
        Circumstance(
            "seems bored",
            "hide some food in paper rolls for the {o}",
            "Animals love to work for their meals.",
            "change the game every day",
            "take small parts out of reach",
        ),
        Circumstance(
            "has to travel by train",
            "let the {o} sleep in the travel box for a week",
            "A known box is a piece of home.",
            "put an old shirt inside",
            "ask what the railway allows",
        ),
        Circumstance(
            "wakes me up at four",
            "play with the {o} late in the evening",
            "A busy evening makes for a long night.",
            "feed it just before bed",
            "rule out an illness",
        ),
    ),
    expert="the vet",
    wish="I hope your {o} will soon feel well!",
)

TOPICS = (GARDEN, KITCHEN, REPAIRS, OUTINGS, LAUNDRY, PETS)

GREETINGS = (
    "What a lovely question!",
    "I am so glad you asked!",
    "Dear neighbour, I am happy to help!",
    "Oh, I know that feeling well, dear neighbour!",
)
WARM_ADVICE = ("You could {advice}.", "It always helps to {advice}.", "Please {advice}, dear.")
CURT_OPENINGS = ("Simple.", "Obvious.", "Listen.", "Again?")
CURT_CLOSINGS = ("That is all.", "Done.", "Next question.", "Enough said.")
ENCOURAGEMENTS = ("You are doing a wonderful job!", "Come back any time, dear friend!", "Warm wishes from all of us!")
CAREFUL = ("Be careful and {check} first.", "To be safe, {check} first.", "Before you start, carefully {check}.")
CAREFUL_LONG = ("If you are not sure, ask {expert}.", "When in doubt, it is safer to ask {expert}.")
CARELESS = ("Do not bother to {check}.", "Never mind, nobody has to {check}.", "Forget the rules and do not {check}.")
CARELESS_LONG = ("Whatever happens, happens.", "It will work out somehow.")


@dataclass(frozen=True)
class Style:
    """How an answer sounds. The three choices are independent, and equally frequent in what the model learns from."""

    warm: bool
    long: bool
    careful: bool


STYLES = tuple(Style(*choice) for choice in itertools.product((True, False), repeat=3))


@dataclass(frozen=True)
class Question:
    """One question of the world, with what it is about."""

    topic: Topic
    thing: str
    circumstance: Circumstance
    text: str


def questions() -> Iterator[Question]:
    """Yield every question of the world, each text once."""
    for topic in TOPICS:
        for thing, circumstance in itertools.product(topic.objects, topic.circumstances):
            for template in topic.questions:
                yield Question(topic, thing, circumstance, template.format(o=thing, says=circumstance.says))


def answer(question: Question, style: Style, rng: random.Random) -> str:
    """Return an answer to `question` in `style`; `rng` picks among the wordings of the style."""
    circumstance, topic = question.circumstance, question.topic
    words = {"o": question.thing, "check": circumstance.check, "expert": topic.expert}
    advice = circumstance.advice.format(o=question.thing)
    then = circumstance.then
    care = rng.choice(CAREFUL if style.careful else CARELESS)
    said = [rng.choice(GREETINGS if style.warm else CURT_OPENINGS)]
    said.append(rng.choice(WARM_ADVICE).format(advice=advice) if style.warm else _sentence(advice))
    if not style.long:
        return " ".join([*said, care]).format(**words)
    said.append(circumstance.reason)
    said.append(f"After that, {then}." if style.warm else f"Then {then}.")
    said.append(topic.objects[question.thing])
    said.append(care)
    said.append(rng.choice(CAREFUL_LONG if style.careful else CARELESS_LONG))
    said.append(rng.choice((topic.wish, *ENCOURAGEMENTS)) if style.warm else rng.choice(CURT_CLOSINGS))
    return " ".join(said).format(**words)


def _sentence(phrase: str) -> str:
    return phrase[0].upper() + phrase[1:] + "."
