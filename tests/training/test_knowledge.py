"""The documents of a campaign: their versions, by page and REST, and a guard that answers from them at one click."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse
from rest_framework.test import APIClient

from annotation.models import Campaign, Event, Membership, User
from tests.training.guard_world import behind_guard
from training import paths
from training.core.guard.folder import load_guard
from training.core.guard.grounding import Document, Knowledge
from training.errors import Invalid
from training.models import KnowledgeDocument, ModelVersion
from training.services import guard_versions, guards, knowledge, promotion

pytestmark = pytest.mark.django_db
LEAFLET = "Bombs in the sea are found by the police. Call them."


@pytest.fixture
def guarded(campaign: Campaign, lead: User, tmp_path: Path) -> Campaign:
    behind_guard(campaign, tmp_path, lead)
    return campaign


def answered(campaign: Campaign, question: str) -> str:
    """Return what the campaign's guard, as it is now, quotes of its documents."""
    found = load_guard(guards.guard_of(campaign)).knowledge
    return "" if found is None else found.verified(found.answer(question))


def test_a_change_is_a_new_version_and_the_old_ones_stay(campaign, lead, engineer, annotator):
    first = knowledge.write(campaign=campaign, actor=lead, name=" leaflet ", text=LEAFLET, seen=0)
    second = knowledge.write(
        campaign=campaign, actor=lead, name="leaflet", text="Call.", owner=engineer, note="Short", seen=1
    )
    assert [str(first), str(second)] == ["leaflet v1", "leaflet v2"]
    assert (first.owner, second.owner, second.changed_by) == (lead, engineer, lead)
    for known, says in (
        ({"text": "Mine.", "seen": 1}, "There is leaflet v2 by now"),
        ({"text": "Mine.", "seen": 0}, "There is leaflet v2 by now"),
        ({"text": "Call. "}, "Nothing of leaflet differs"),
        ({"text": "Mine.", "owner": annotator}, "who does not judge"),
        ({"text": "Mine.", "note": "x" * 201}, "up to 200 characters"),
        ({"text": " "}, "needs a text"),
    ):
        with pytest.raises(Invalid, match=says):
            knowledge.write(campaign=campaign, actor=lead, name="leaflet", **known)
    knowledge.remove(campaign=campaign, actor=lead, name="leaflet", seen=2)
    assert not knowledge.documents(campaign)
    with pytest.raises(Invalid, match="no document called leaflet"):
        knowledge.remove(campaign=campaign, actor=lead, name="leaflet")
    with pytest.raises(Invalid, match="was removed meanwhile"):
        knowledge.write(campaign=campaign, actor=lead, name="leaflet", text="Mine.", seen=2)
    again = knowledge.write(campaign=campaign, actor=lead, name="leaflet", text=LEAFLET, seen=0)
    told = [(one.number, one.text, one.removed) for one in knowledge.history(campaign, "leaflet")]
    assert (
        told == [(4, LEAFLET, False), (3, "", True), (2, "Call.", False), (1, LEAFLET, False)] and again.owner == lead
    )
    events = Event.objects.filter(action__startswith="knowledge.").order_by("pk")
    assert [(one.action, one.target) for one in events] == [
        ("knowledge.changed", "leaflet v1"),
        ("knowledge.changed", "leaflet v2"),
        ("knowledge.removed", "leaflet v3"),
        ("knowledge.changed", "leaflet v4"),
    ]
    # No text, and no name that would have to be forgotten, is in the trail.
    assert lead.username not in str([one.detail for one in events]) and "police" not in str(
        [one.detail for one in events]
    )
    assert engineer.pseudonym in str(events[1].detail)


def test_one_step_has_the_guard_in_use_answer_from_them_with_its_lines_as_they_are(guarded, lead):
    before = load_guard(guards.guard_of(guarded))
    with pytest.raises(Invalid, match="no documents yet"):
        knowledge.put_to_use(campaign=guarded, actor=lead)
    knowledge.write(campaign=guarded, actor=lead, name="leaflet", text="Bombs in the sea are harmless.")
    knowledge.write(campaign=guarded, actor=lead, name="leaflet", text=LEAFLET)
    now = knowledge.standing(guarded)
    assert now.guarded and now.version is None and not now.is_current and now.differs == ["leaflet"]
    assert answered(guarded, "bombs in the sea") == ""
    made = knowledge.put_to_use(campaign=guarded, actor=lead)
    assert (made.state, made.label) == ("promoted", "guard-1") and made.parent.label == "guard-0"
    # The answer cites the document with its version and place.
    assert answered(guarded, "bombs in the sea") == f"{LEAFLET.split('. ')[0]}. [leaflet v2:0-41]"
    after = load_guard(guards.guard_of(guarded))
    assert {side: line.threshold for side, line in after.lines.items()} == {
        side: line.threshold for side, line in before.lines.items()
    }
    assert after.tiers == before.tiers and knowledge.standing(guarded).is_current
    with pytest.raises(Invalid, match="already"):
        knowledge.put_to_use(campaign=guarded, actor=lead)
    knowledge.remove(campaign=guarded, actor=lead, name="leaflet")
    assert knowledge.standing(guarded).differs == ["leaflet"] and "sea" in answered(guarded, "bombs in the sea")
    assert knowledge.put_to_use(campaign=guarded, actor=lead).parent == made
    assert answered(guarded, "bombs in the sea") == ""
    actions = Event.objects.filter(action__in=["version.registered", "guard.edited", "guard.promoted"])
    assert [one.action for one in actions.order_by("pk")] == [
        "version.registered",
        *["guard.edited", "guard.promoted"] * 2,
    ]


def test_what_an_answer_quotes_is_found_in_the_version_it_cites(campaign, lead):
    for text in (LEAFLET, "Call."):
        knowledge.write(campaign=campaign, actor=lead, name="leaflet", text=text)
    answer = Knowledge([Document("leaflet", LEAFLET, "1")]).answer("bombs in the sea")
    (found,) = knowledge.quotations(campaign, answer)
    assert (str(found.document), found.document.text[found.start : found.end]) == ("leaflet v1", LEAFLET[:41])
    for other in (
        "I cannot help with that.",
        answer.replace("v1", "v2"),  # where no such sentence stands
        answer.replace("v1", "v3"),
        answer.replace("0-41", f"0-{'9' * 5000}"),
        Knowledge([Document("leaflet", "Bombs in the sea are safe.", "1")]).answer("bombs in the sea"),
    ):
        assert "[leaflet" in other or "cannot" in other
        assert knowledge.quotations(campaign, other) == []


def test_documents_that_a_guard_brought_are_taken_over(guarded, lead):
    version = ModelVersion(campaign=guarded, kind="guard", number=0, path=guards.named(guarded))
    version.save()
    rows = [{"id": "old", "text": "Be kind.", "version": "2024:3"}, {"id": "older", "text": "Be fair."}]
    made = guard_versions.edit(version=version, actor=lead, documents=rows)
    promotion.promote(version=made, actor=lead)
    taken = knowledge.take_over(campaign=guarded, actor=lead)
    assert [(str(one), one.text, one.note) for one in taken] == [
        ("old v1", "Be kind.", "From the guard, as version 2024:3"),
        ("older v1", "Be fair.", "From the guard"),
    ]
    with pytest.raises(Invalid, match="documents here already"):
        knowledge.take_over(campaign=guarded, actor=lead)
    assert not knowledge.standing(guarded).is_current  # they are cited by other versions there
    # What would end a citation is none in it.
    assert Knowledge([Document("old", "Be kind.", "2024:3")]).answer("kind") == "Be kind. [old v2024-3:0-8]"


def test_the_page_and_rest_show_and_change_them(guarded, lead, engineer, client):
    client.force_login(lead)
    page = reverse("knowledge", args=[guarded.pk])
    assert "It has no documents" in client.get(page).content.decode()
    assert page in client.get(reverse("models", args=[guarded.pk])).content.decode()
    form = {"action": "save", "document": "leaflet", "text": LEAFLET, "seen": "0", "owner": str(engineer.pk)}
    saved = client.post(page, form)
    assert saved.status_code == 302 and saved.url == f"{page}?document=leaflet"
    html = client.get(page).content.decode()
    assert "It does not have 1 document as it stands here:" in html and engineer.username in html
    refused = client.post(page, {**form, "text": "What I wrote."})
    assert refused.status_code == 422 and "There is leaflet v1 by now" in refused.content.decode()
    assert "What I wrote." in refused.content.decode()
    assert client.post(page, {**form, "text": "Call.", "seen": "1", "note": "Short"}).status_code == 302
    html = client.get(f"{page}?document=leaflet").content.decode()
    assert "leaflet v1" in html and "leaflet v2" in html and LEAFLET in html and "Short" in html
    assert [client.get(f"{page}?document={one}").status_code for one in ("nothing", "%00")] == [404, 404]
    odd = client.post(page, {**form, "document": "a\x00"})
    assert odd.status_code == 422 and "NUL character" in odd.content.decode()
    assert client.post(page, {"action": "use"}).status_code == 302
    assert "It answers from these documents." in client.get(page).content.decode()
    rest = APIClient()
    rest.force_authenticate(engineer)
    address = reverse("api-knowledge", args=[guarded.pk])
    told = rest.get(address).json()
    assert told["guard"] == {"version": "guard-1", "current": True, "differs": []}
    assert [(one["name"], one["number"], one["owner"]) for one in told["documents"]] == [
        ("leaflet", 2, engineer.username)
    ]
    assert [one["text"] for one in rest.get(f"{address}?history=true").json()["documents"]] == ["Call.", LEAFLET]
    change = {
        "documents": [{"name": "leaflet", "removed": True}, {"name": "hours", "text": "Nine to five."}],
        "use": True,
    }
    assert rest.get(f"{address}?history=true&document=nothing").json()["documents"] == []
    assert rest.patch(address, change, format="json").status_code == 403
    client.force_login(engineer)
    assert client.post(page, form).status_code == 403
    assert "Save as a new version" not in client.get(f"{page}?document=leaflet").content.decode()
    rest.force_authenticate(lead)
    told = rest.patch(address, change, format="json").json()
    assert told["guard"] == {"version": "guard-2", "current": True, "differs": []}
    assert guard_versions.shown(ModelVersion.objects.get(campaign=guarded, kind="guard", number=2)).documents == [
        {"id": "hours", "text": "Nine to five.", "version": "1"}
    ]
    # What was removed is found again; who left the campaign still owns what was theirs.
    client.force_login(lead)
    assert 'href="?document=leaflet">leaflet</a>' in client.get(page).content.decode()
    Membership.objects.filter(campaign=guarded, user=engineer).delete()
    knowledge.write(campaign=guarded, actor=lead, name="many", text="0", owner=lead)
    KnowledgeDocument.objects.filter(campaign=guarded, name="many").update(owner=engineer)
    for n in range(1, 22):
        knowledge.write(campaign=guarded, actor=lead, name="many", text=str(n))
    html = client.get(f"{page}?document=many").content.decode()
    assert f'<option value="{engineer.pk}" selected>' in html and "2 older versions are told over REST." in html
    assert 'id="version-2"' not in html
    cited = client.get(f"{page}?document=many&version=2").content.decode()
    assert 'id="version-2">1</p>' in cited and "1 older version is told over REST." in cited
    assert cited.count("<details open>") == 1 and "<details open><summary><strong>many v2</strong>" in cited
    newer = client.get(f"{page}?document=many&version=22").content.decode()
    assert "<details open><summary><strong>many v22</strong>" in newer and newer.count('id="version-') == 20
    assert client.get(f"{page}?document=many&version=23").status_code == 404
    assert KnowledgeDocument.objects.filter(name="many", owner=engineer).count() == 22
    knowledge.remove(campaign=guarded, actor=lead, name="many")
    # One that does not fit, and nothing is changed.
    before = KnowledgeDocument.objects.count()
    wrong = {"documents": [{"name": "hours", "text": "Ten to four."}, {"name": "a:b", "text": "x"}]}
    assert rest.patch(address, wrong, format="json").status_code == 422
    assert (
        rest.patch(address, {"documents": [{"name": "x", "text": "y", "owner": "who"}]}, format="json").status_code
        == 422
    )
    assert KnowledgeDocument.objects.count() == before
    assert guards.guard_of(guarded) == paths.resolve(ModelVersion.objects.get(kind="guard", state="promoted").path)
