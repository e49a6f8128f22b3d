"""The schema's table of contents."""

from annotation.models.audit import Event
from annotation.models.blocks import Block, BlockEvidence, WideBlock
from annotation.models.campaigns import Campaign, Guideline
from annotation.models.content import Completion, Image, Prompt
from annotation.models.feedback import Feedback
from annotation.models.gold import Gold
from annotation.models.identities import Identity
from annotation.models.invitations import Invitation
from annotation.models.people import Membership, Role, User
from annotation.models.proposals import Proposal
from annotation.models.reports import QualityReport
from annotation.models.reviews import Adjudication, Cause, Returned
from annotation.models.tokens import TokenGrant
from annotation.models.trials import Trial, TrialAnswer
from annotation.models.webhooks import Delivery, Webhook
from annotation.models.work import Assignment, Task, TaskCompletion

__all__ = [
    "Adjudication",
    "Assignment",
    "Block",
    "BlockEvidence",
    "Campaign",
    "Cause",
    "Completion",
    "Delivery",
    "Event",
    "Feedback",
    "Gold",
    "Guideline",
    "Identity",
    "Image",
    "Invitation",
    "Membership",
    "Prompt",
    "Proposal",
    "QualityReport",
    "Returned",
    "Role",
    "Task",
    "TaskCompletion",
    "TokenGrant",
    "Trial",
    "TrialAnswer",
    "User",
    "Webhook",
    "WideBlock",
]
