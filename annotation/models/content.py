"""What is judged: prompts, completions and the images in them, each stored once per campaign."""

from __future__ import annotations

import secrets

from django.db import models

from annotation.models.campaigns import Campaign


class Prompt(models.Model):
    """A conversation that ends where an answer is wanted."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="prompts")
    # [{"role": "system"|"user"|"assistant", "content": text or parts}, …]; see `annotation.messages`.
    messages = models.JSONField()
    # sha256 over the canonical JSON of `messages`; also decides the train/eval split.
    content_hash = models.CharField(max_length=64)
    domain = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "content_hash"], name="prompt_once_per_campaign"),
        ]

    def __str__(self) -> str:
        return f"prompt {self.pk}"


class Completion(models.Model):
    """An answer to a prompt, from wherever it came."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="completions")
    text = models.TextField()
    # What it says when it has images; null for plain text. See `annotation.messages`.
    parts = models.JSONField(null=True, blank=True)
    content_hash = models.CharField(max_length=64)
    # Who wrote it: a data set, a person, or a policy version such as "policy-3". Never shown to annotators.
    origin = models.CharField(max_length=120, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["prompt", "content_hash"], name="completion_once_per_prompt"),
        ]

    def __str__(self) -> str:
        return f"completion {self.pk}"


def _path(image: Image, name: str) -> str:
    """Return where a file goes: a name that nobody can guess, whatever it was called before."""
    return f"images/{image.campaign_id}/{secrets.token_hex(16)}.{name.rsplit('.', 1)[-1]}"


class Image(models.Model):
    """A picture in a prompt or an answer, as it was encoded here. Parts of messages name it by its `sha256`."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="images")
    sha256 = models.CharField(max_length=64)  # of the bytes in `file`
    # Of what was imported: the same picture is known again without being encoded, which a new encoder does otherwise.
    source_sha256 = models.CharField(max_length=64)
    media_type = models.CharField(max_length=20)
    width = models.PositiveIntegerField()  # pixels, as it is shown
    height = models.PositiveIntegerField()
    file = models.FileField(upload_to=_path, max_length=200)
    thumbnail = models.FileField(upload_to=_path, max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["campaign", "sha256"], name="image_once_per_campaign"),
        ]
        indexes = [models.Index(fields=["campaign", "source_sha256"], name="image_by_its_source")]

    def __str__(self) -> str:
        return f"image {self.sha256[:12]}"
