"""What is judged: prompts and completions, each stored once per campaign."""

from __future__ import annotations

from django.db import models

from annotation.models.campaigns import Campaign


class Prompt(models.Model):
    """A conversation that ends where an answer is wanted."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="prompts")
    # [{"role": "system"|"user"|"assistant", "content": str}, …]
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
