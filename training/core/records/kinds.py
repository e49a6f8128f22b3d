"""What rows become: one record for each kind of judgement."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.records.texts import Message

SATISFIED = "satisfied"  # the label of a judged principle


@dataclass(frozen=True)
class Pair:
    """Two completions of one prompt, of which a person preferred `chosen`."""

    prompt: list[Message]
    chosen: str
    rejected: str
    strength: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    chosen_first: bool = True  # whether the chosen one stood first on the screen
    # Judgements of it that were thought aloud, each with whether it calls the chosen one A.
    traces: tuple[tuple[str, bool], ...] = ()
    # How reliable who judged it is, 1 in the mean and 0 for who answers by chance; see `annotation.reliability`.
    annotator_weight: float = 1.0
    margin: float | None = None  # how much better a reward model finds the chosen one, where a recipe asks one
    chosen_images: tuple[str, ...] = ()  # of the answers, as `images` of the prompt
    rejected_images: tuple[str, ...] = ()
    annotator: str = ""  # the pseudonym of who judged it; empty where nobody says
    profile: str = ""  # what that person says of the answers they like; empty where nothing is to be read


@dataclass(frozen=True)
class Comparison(Pair):
    """A pair that is judged by reading both answers at once."""

    both: bool = True  # whether in both orders, or only in the one in which it was seen


@dataclass(frozen=True)
class Demonstration:
    """A completion worth imitating."""

    prompt: list[Message]
    completion: str
    weight: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    samples: tuple[str, ...] = ()  # what the policy answers to the same prompt now
    mode: str = ""  # the behaviour that it shows, of a policy with several; see `training.core.modes`
    asked: list[Message] | None = None  # the prompt that it is split by, where something is put before it


@dataclass(frozen=True)
class Document:
    """A text of the domain, to be read from its first word to its last: nobody asked for it."""

    text: str
    audit: bool = False
    domain: str = ""

    @property
    def prompt(self) -> list[Message]:
        """What the rows are split by: all passages of a document are on one side."""
        return [{"role": "user", "content": self.text}]


@dataclass(frozen=True)
class SaferPair(Pair):
    """Two completions of one prompt, of which `chosen` is the safer one, each with its own label."""

    chosen_is_safe: bool = True
    rejected_is_safe: bool = False
    chosen_severity: float = 0.0  # 0 safe, 1 minor, 2 moderate, 3 severe
    rejected_severity: float = 0.0


@dataclass(frozen=True)
class Rated:
    """A completion with the points it was given, by attribute."""

    prompt: list[Message]
    completion: str
    labels: dict[str, float]
    weight: float = 1.0
    audit: bool = False
    domain: str = ""
    images: tuple[str, ...] = ()  # of the prompt, in the order of their marks: sha256 or path
    completion_images: tuple[str, ...] = ()  # of the answer


@dataclass(frozen=True)
class Judged:
    """Whether a completion satisfies a principle, as somebody said."""

    prompt: list[Message]
    completion: str
    principle: str
    label: float  # 1 yes, 0 no
    annotator: str = ""
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class Criticised:
    """A completion with what somebody wrote about it, and the points it was given."""

    prompt: list[Message]
    completion: str
    critique: str
    score: float
    annotator: str = ""
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class CriticisedPair(Pair):
    """Two completions of one prompt with a critique each."""

    chosen_critique: str = ""
    rejected_critique: str = ""


CRITICISE = "Write a critique of your answer: what is good about it, and what is not."


def critique_asked(prompt: list[Message], completion: str) -> list[Message]:
    """Return the conversation at whose end a critique of the completion is written."""
    return [*prompt, {"role": "assistant", "content": completion}, {"role": "user", "content": CRITICISE}]


@dataclass(frozen=True)
class Person:
    """What one person preferred: pairs to get to know the person by, and pairs to be told right, of other prompts."""

    annotator: str
    context: tuple[Pair, ...]
    target: tuple[Pair, ...]
    audit: bool = False
    domain: str = ""

    @property
    def prompt(self) -> list[Message]:
        """What the rows are split by: people who are measured on are never trained on."""
        return [{"role": "user", "content": self.annotator}]


@dataclass(frozen=True)
class Outcome:
    """A completion with one number for how good it is."""

    prompt: list[Message]
    completion: str
    reward: float
    audit: bool = False
    domain: str = ""


@dataclass(frozen=True)
class Ranking:
    """Several completions of one prompt in the order in which somebody put them: 1 is best, equal ranks are ties."""

    prompt: list[Message]
    completions: tuple[str, ...]
    ranks: tuple[int, ...]
    audit: bool = False
    domain: str = ""


Record = Pair | Demonstration | Document | Rated | Judged | Person | Criticised | Outcome | Ranking
MOST_RANKED = 10  # of one prompt: a likelihood with ties looks at all subsets


def images_of(record: Record) -> tuple[str, ...]:
    """Return what the images of a record's prompt are known by; none of records that only have text."""
    return record.images if isinstance(record, Pair | Demonstration | Rated) else ()


def answers_images(record: Record) -> tuple[tuple[str, ...], ...]:
    """Return of each of a record's answers what its images are known by; nothing of records whose answers are text."""
    if isinstance(record, Pair) and (record.chosen_images or record.rejected_images):
        return record.chosen_images, record.rejected_images
    return (record.completion_images,) if isinstance(record, Rated) and record.completion_images else ()
