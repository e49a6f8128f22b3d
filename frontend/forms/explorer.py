"""What somebody wants to see scored: a prompt, answers to it, and the models that are to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

from django import forms
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from annotation.messages import Content, Message, Part, answer_of, content_from, images_of, text_of
from annotation.models import Campaign, Task
from training.models import ModelVersion
from training.services import explorer

FIRST_SHOWN = 2  # answers for which there is a box at least


class ExplorerForm(forms.Form):
    prompt = forms.CharField(
        label=_("Prompt"),
        max_length=explorer.MOST_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text=_("What the person asks."),
    )
    image = forms.FileField(
        label=_("Image"),
        required=False,
        help_text=_("PNG, JPEG or WebP; it stands before the prompt. A model that reads text alone says so."),
        widget=forms.FileInput(attrs={"accept": ".png,.jpg,.jpeg,.webp"}),
    )
    models = forms.MultipleChoiceField(label=_("Models to ask"), widget=forms.CheckboxSelectMultiple)
    principles = forms.CharField(
        label=_("Principles"),
        required=False,
        max_length=2000,
        help_text=_("For models that judge by principles: one or more, with semicolons between them."),
    )

    def __init__(self, *args: Any, versions: Sequence[ModelVersion], task: Task | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.versions = {str(one.pk): one for one in versions}
        self.task = task
        self.picked = [] if task is None else [answer_of(one) for one in task.content["completions"]]
        texts = [text_of(content) for content in self.picked]
        if task is not None:
            del self.fields["prompt"], self.fields["image"]
        models: forms.MultipleChoiceField = self.fields["models"]  # type: ignore[assignment]
        models.choices = [(key, self._named(one)) for key, one in self.versions.items()]
        models.initial = list(self.versions)[: explorer.MOST_MODELS]
        if not any(one.recipe.get("name") == "principle-reward" for one in versions):
            del self.fields["principles"]
        for place in range(explorer.MOST_ANSWERS):
            self.fields[f"answer_{place}"] = forms.CharField(
                label=gettext("Answer {letter}").format(letter=ascii_uppercase[place]),
                required=place == 0 and not self._images(0),
                max_length=explorer.MOST_CHARACTERS,
                initial=texts[place] if place < len(texts) else "",
                widget=forms.Textarea(attrs={"rows": 4}),
            )

    def _named(self, version: ModelVersion) -> str:
        made_by = version.recipe.get("name") or gettext("from outside")
        return f"{version.label}: {made_by} ({version.get_state_display()})"

    @property
    def answers(self) -> list[forms.BoundField]:
        """Return the boxes to show at once: those with text, and one more."""
        return self._boxes[: self._shown]

    @property
    def more_answers(self) -> list[forms.BoundField]:
        return self._boxes[self._shown :]

    @property
    def more_words(self) -> str:
        n = len(self.more_answers)
        return ngettext("{n} more answer", "{n} more answers", n).format(n=n)

    @property
    def _boxes(self) -> list[forms.BoundField]:
        return [self[f"answer_{place}"] for place in range(explorer.MOST_ANSWERS)]

    @property
    def _shown(self) -> int:
        filled = [place for place, box in enumerate(self._boxes, start=1) if box.value()]
        return max(FIRST_SHOWN, len(self.picked), *filled, 0)

    def messages(self, campaign: Campaign) -> list[Message]:
        """Return the prompt as messages; only after `is_valid`. Invalid where the image that was sent is none."""
        if self.task is not None:
            found: list[Message] = self.task.content["messages"]
            return found
        sent = self.cleaned_data["image"]
        image = None if sent is None else sent.read()
        return [explorer.with_image(campaign, self.cleaned_data["prompt"], image=image)]

    @property
    def contents(self) -> list[Content]:
        """Return the answers: the texts as they are in the boxes, with the images that the item's answers have."""
        return [self._content(place, self.cleaned_data[f"answer_{place}"]) for place in range(explorer.MOST_ANSWERS)]

    def _content(self, place: int, text: str) -> Content:
        if not self._images(place):
            return text
        if text.strip() == text_of(self.picked[place]).strip():
            return self.picked[place]
        return content_from([*self._images(place), {"type": "text", "text": text}])

    def _images(self, place: int) -> list[Part]:
        return images_of(self.picked[place]) if place < len(self.picked) else []

    @property
    def chosen(self) -> list[ModelVersion]:
        return [one for key, one in self.versions.items() if key in self.cleaned_data["models"]]

    def take_errors(self, errors: dict[str, list[str]]) -> None:
        """Put what the service says beside the inputs it is about."""
        for name, texts in errors.items():
            field = "answer_0" if name == "answers" else name
            for text in texts:
                self.add_error(field if field in self.fields else None, text)
