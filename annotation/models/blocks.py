"""Figures of a campaign that were counted already, item by item of those that came in one after another."""

from __future__ import annotations

from django.db import models

from annotation.models.campaigns import Campaign


class Block(models.Model):
    """What `annotation.sums` made of the items from `first` to `last`. Derived: thrown away, it is made again."""

    class State(models.TextChoices):
        COUNTED = "counted"  # says what the judgements say
        COUNTING = "counting"  # is being counted anew; a judgement that comes in meanwhile makes it late again
        LATE = "late"  # something changed since it was counted

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="blocks")
    # Ids of tasks. Blocks of a campaign follow each other without a gap, and none of its items comes in between later.
    first = models.BigIntegerField()
    last = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=State.choices, default=State.LATE)
    # How often it was counted: with the id, the name of its sums.
    version = models.PositiveIntegerField(default=0)
    sums = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "first"], name="block_once")]

    def __str__(self) -> str:
        return f"items {self.first} to {self.last} of {self.campaign}"


class WideBlock(models.Model):
    """The sums of blocks that follow each other, put together, so that a reader adds up a few rows instead of hundreds.

    Derived, and true only of the blocks it names: whoever reads it compares `names` with what stands there now.
    """

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="+")
    place = models.PositiveIntegerField()  # which in the campaign's row of wide blocks, from 0
    names = models.JSONField()  # [[id, version], …] of its blocks, in their order
    sums = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "place"], name="wide_block_once")]

    def __str__(self) -> str:
        return f"blocks {self.place} of {self.campaign}"


class BlockEvidence(models.Model):
    """What `annotation.evidence` made of a block's judgements when it was of this version. Derived, as the block is."""

    block = models.OneToOneField(Block, on_delete=models.CASCADE, related_name="evidence")
    version = models.PositiveIntegerField()
    real = models.JSONField()
    simulated = models.JSONField()

    def __str__(self) -> str:
        return f"evidence of {self.block}"
