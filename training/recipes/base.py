"""Parts, knobs and recipes: what can be run, with which settings, from which paper. Standard library only.

A *part* is a dataclass whose fields are *knobs* and whose `target` names the function in `training.core` that does
the work; a *recipe* is a named assembly of parts. Web forms, REST, run specs and the methods page are generated from
them, so none of these can know a knob that the maths does not.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

from training.recipes.note import Note, note_of

T = TypeVar("T")

PARTS: dict[tuple[str, str], type] = {}
RECIPES: dict[str, Recipe] = {}


class RecipeError(ValueError):
    """A recipe or knob that does not exist or does not fit; `errors` maps a knob to what is wrong with it."""

    def __init__(self, message: str, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or {}


@dataclass(frozen=True)
class Knob:
    """One setting: its default, what it does in one line, and what it may be."""

    name: str
    default: Any
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] = ()
    advanced: bool = False

    def check(self, value: Any) -> Any:
        """Return `value` as this knob's type; ValueError with a sentence when it does not fit."""
        if isinstance(self.default, bool):
            if isinstance(value, str):
                lowered = value.strip().lower()
                if lowered not in ("true", "false", "1", "0", "on", "off", "yes", "no"):
                    raise ValueError(Note("Enter true or false, not {value}.", value=repr(value)))
                value = lowered in ("true", "1", "on", "yes")
            if not isinstance(value, bool):
                raise ValueError(Note("Enter true or false, not {value}.", value=repr(value)))
            return value
        if isinstance(self.default, int) and not isinstance(self.default, bool):
            try:
                if isinstance(value, bool) or float(value) != int(float(value)):
                    raise ValueError
                value = int(float(value))
            except (TypeError, ValueError, OverflowError):
                raise ValueError(Note("Enter a whole number, not {value}.", value=repr(value))) from None
        elif isinstance(self.default, float):
            try:
                if isinstance(value, bool):
                    raise ValueError
                value = float(value)
            except (TypeError, ValueError, OverflowError):
                raise ValueError(Note("Enter a number, not {value}.", value=repr(value))) from None
            if value != value or value in (float("inf"), float("-inf")):
                raise ValueError(Note("Enter a finite number."))
        else:
            value = str(value)
        if self.choices and value not in self.choices:
            choices = ", ".join(map(str, self.choices))
            raise ValueError(Note("Choose one of {choices}, not {value}.", choices=choices, value=repr(value)))
        if self.low is not None and value < self.low:
            raise ValueError(Note("Enter at least {low}.", low=self.low))
        if self.high is not None and value > self.high:
            raise ValueError(Note("Enter at most {high}.", high=self.high))
        return value


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    advanced: bool = False,
) -> Any:
    """Return a dataclass field that is a knob."""
    metadata = {"help": help, "low": low, "high": high, "choices": choices, "advanced": advanced}
    return field(default=default, metadata=metadata)


def knobs_of(part: Any) -> list[Knob]:
    """Return the knobs of a part, with the part's own values as defaults."""
    return [
        Knob(name=f.name, default=getattr(part, f.name), **f.metadata)
        for f in dataclasses.fields(part)
        if "help" in f.metadata
    ]


@dataclass_transform(frozen_default=True)
def part(slot: str, name: str, *, target: str) -> Callable[[type[T]], type[T]]:
    """Register a dataclass as the part `name` of `slot`; `target` is ``module:function``, imported only by the core."""

    def register(cls: type[T]) -> type[T]:
        cls = dataclass(frozen=True)(cls)
        if (slot, name) in PARTS:
            raise ValueError(f"There are two parts called {slot}/{name}.")
        cls.slot, cls.name, cls.target = slot, name, target  # type: ignore[attr-defined]
        PARTS[slot, name] = cls
        return cls

    return register


def fill(title: str, knobs: list[Knob], values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return all `knobs`, `values` checked and the rest by default; RecipeError names every one that does not fit."""
    values = values or {}
    by_name = {k.name: k for k in knobs}
    errors: dict[str, list[str]] = {}
    for name in values:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = Note("It has {names}.", names=", ".join(by_name) or Note("none"))
            if near:
                hint = Note("Did you mean {name}?", name=near[0])
            none = Note("{title} has no setting called {name}.", title=title, name=name)
            errors[name] = [Note.together([none, hint])]
    filled = {name: k.default for name, k in by_name.items()}
    for name, value in values.items():
        if name in by_name:
            try:
                filled[name] = by_name[name].check(value)
            except ValueError as error:
                errors[name] = [note_of(error)]
    if errors:
        raise RecipeError(Note.together(text for texts in errors.values() for text in texts), errors)
    return filled


@dataclass(frozen=True)
class Recipe:
    """A named assembly of parts that a run can be made of.

    `kind` is the run's ("fit", "sample", "evaluate"); `view` is the kind of row it reads; `makes` is the kind of model
    version it produces ("policy", "reward" or ""). Knobs of several parts share one namespace, so a name
    may occur once.
    """

    name: str
    title: str
    summary: str
    kind: str
    view: str
    makes: str = ""
    parts: tuple[Any, ...] = ()
    version: int = 1
    source: str = ""
    # The kind of model it trains, where that is not what it makes, such as a policy that serves as a reward; of what
    # does not train, the kind that people may have measured by hand.
    starts: str = ""

    def __post_init__(self) -> None:
        if self.name in RECIPES:
            raise ValueError(f"There are two recipes called {self.name}.")
        names = [k.name for k in self.knobs()]
        if len(names) != len(set(names)):
            raise ValueError(f"Recipe {self.name} has two knobs of one name.")
        RECIPES[self.name] = self

    def knobs(self) -> list[Knob]:
        return [k for p in self.parts for k in knobs_of(p)]

    def part(self, slot: str) -> Any | None:
        """Return the part in `slot`, with this recipe's own values, or None."""
        return next((p for p in self.parts if p.slot == slot), None)

    @property
    def scorers(self) -> tuple[str, ...]:
        """Return the names of the models that have to score answers while it runs, such as reward and cost."""
        named = [name for p in self.parts for name in getattr(p, "scorers", ()) if name not in self.supplied]
        return tuple(dict.fromkeys(sorted(named, key=lambda name: name != "reward")))

    @property
    def of_models(self) -> tuple[str, ...]:
        """Return the kinds of model that it is made of as they are, where it trains none; of what trains, nothing."""
        return self._named("of_models")

    @property
    def supplied(self) -> tuple[str, ...]:
        """Return the names of the scores that its own parts give, so that no model has to."""
        return self._named("supplies")

    @property
    def guarded(self) -> bool:
        """Return whether only who is trusted with attacks may start it, where whoever runs the server allows it."""
        return any(getattr(p, "guarded", False) for p in self.parts)

    @property
    def compares(self) -> bool:
        """Return whether it holds a policy against the one in use."""
        return any(getattr(p, "compares", False) for p in self.parts)

    @property
    def may_score(self) -> tuple[str, ...]:
        """Return the names of the models that score answers where they are given, and without which it runs as well."""
        return self._named("may_score")

    @property
    def beside(self) -> tuple[str, ...]:
        """Return the names of the policies that it reads besides the one it starts from."""
        return self._named("beside")

    @property
    def may_stand_beside(self) -> tuple[str, ...]:
        """Return the names of those that some of its settings need and others do not."""
        return self._named("may_stand_beside")

    def _named(self, what: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for p in self.parts for name in getattr(p, what, ())))

    def fill(self, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return all knobs, `values` checked and the rest by default; RecipeError names every one that does not fit.

        A part whose knobs have a grammar of their own has a method `check` that reads them.
        """
        filled = fill(self.title, self.knobs(), values)
        for p in self.parts:
            if hasattr(p, "check"):
                p.check(filled)
        return filled

    def to_json(self, values: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what a run stores: name, version and every knob's value."""
        return {"name": self.name, "version": self.version, "knobs": self.fill(values)}

    def parts_with(self, knobs: dict[str, Any]) -> dict[str, Any]:
        """Return slot → part, each part with its share of `knobs`."""
        return {
            p.slot: dataclasses.replace(p, **{k.name: knobs[k.name] for k in knobs_of(p) if k.name in knobs})
            for p in self.parts
        }


def recipe(name: str) -> Recipe:
    """Return the recipe called `name`; RecipeError suggests the nearest name."""
    found = RECIPES.get(name)
    if found is None:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = Note("There are {names}.", names=", ".join(sorted(RECIPES)))
        if near:
            hint = Note("Did you mean {name}?", name=near[0])
        raise RecipeError(Note.together([Note("There is no recipe called {name}.", name=name), hint]))
    return found
