"""The schema's table of contents."""

from training.models.chats import Chat, ChatTurn
from training.models.datasets import Snapshot
from training.models.files import StoredFile
from training.models.gates import GateReport
from training.models.guarding import GuardedPrompt, GuardWatch, GuardWeek, KnowledgeDocument
from training.models.loops import GateOrder, Loop, Round
from training.models.runs import Run
from training.models.samples import Sample
from training.models.suites import Suite
from training.models.versions import ModelVersion
from training.models.workers import Presence

__all__ = [
    "Chat",
    "ChatTurn",
    "GateOrder",
    "GateReport",
    "GuardWatch",
    "GuardWeek",
    "GuardedPrompt",
    "KnowledgeDocument",
    "Loop",
    "ModelVersion",
    "Presence",
    "Round",
    "Run",
    "Sample",
    "Snapshot",
    "StoredFile",
    "Suite",
]
