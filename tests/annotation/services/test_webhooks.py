"""Webhooks: signed as the specification's own example is, retried, stopped, logged, sent nowhere they must not go."""

from __future__ import annotations

import datetime
import http.server
import json
import threading

import pytest
from django.test import Client
from django.utils import timezone

from annotation import webhooks as sending
from annotation.errors import Invalid
from annotation.models import Delivery, Event, Webhook
from annotation.services import webhooks
from tests.factories import judge, make_campaign, make_task

pytestmark = pytest.mark.django_db


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.got.append((dict(self.headers), body))
        self.server.ports.append(self.client_address[1])
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(settings):
    settings.ATTUNE_WEBHOOKS_PRIVATE = True
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.got, server.answers, server.ports = [], [], []
    server.url = f"http://127.0.0.1:{server.server_port}/hook?a=1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def campaign(lead, annotator):
    return make_campaign("Helpful", lead=lead, annotators=[annotator])


def add(campaign, url, *events):
    made, secret = webhooks.add(
        campaign=campaign, url=url, wanted=events or list(sending.EVENTS), actor=campaign.created_by
    )
    return made, secret


def deliver_all():
    for delivery in Delivery.objects.filter(state="waiting").order_by("id"):
        webhooks.deliver(delivery.pk)


def test_the_signature_is_that_of_the_specification():
    """The example of Standard Webhooks, which its libraries are tested with."""
    assert (
        sending.signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body='{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_judgements_and_a_complete_batch_are_told_and_signed(campaign, annotator, receiver):
    _, secret = add(campaign, receiver.url, "feedback.created", "batch.completed")
    make_task(campaign, batch="round-1")
    make_task(campaign, batch="round-1")
    judge(annotator, campaign)
    feedback = judge(annotator, campaign)
    deliver_all()
    told = [json.loads(body) for _, body in receiver.got]
    assert [one["type"] for one in told].count("feedback.created") == 2
    assert [one["data"]["batch"] for one in told if one["type"] == "batch.completed"] == ["round-1"]
    # In no order: they went out over several connections.
    last = max((one["data"] for one in told if one["type"] == "feedback.created"), key=lambda data: data["feedback"])
    assert (last["feedback"], last["annotator"]) == (feedback.pk, annotator.pseudonym)
    assert set(last) == {"campaign", "feedback", "version", "task", "batch", "annotator", "kind"}
    for headers, body in receiver.got:
        known = {name.lower(): value for name, value in headers.items()}
        again = sending.signature(
            secret, message_id=known["webhook-id"], timestamp=int(known["webhook-timestamp"]), body=body
        )
        assert again == known["webhook-signature"]
    assert set(Delivery.objects.values_list("state", "status_code")) == {("delivered", 204)}
    assert secret not in str(list(Webhook.objects.values())), "nothing that signs is stored"


def test_nothing_is_stored_where_nobody_listens(campaign, annotator, django_assert_num_queries):
    make_task(campaign)
    judge(annotator, campaign)
    assert not Delivery.objects.exists()
    with django_assert_num_queries(0):
        webhooks.emit(campaign, "feedback.created", {})


def test_what_fails_is_tried_again_later_and_later_and_then_given_up(campaign, receiver):
    made, _ = add(campaign, receiver.url)
    delivery = webhooks.ping(webhook=made, actor=campaign.created_by)
    receiver.answers = [500, 302, *[503] * 20]
    waits = []
    for _ in range(len(webhooks.BACKOFF)):
        webhooks.deliver(delivery.pk)
        webhooks.deliver(delivery.pk)  # not due: changes nothing
        delivery.refresh_from_db()
        waits.append(round((delivery.next_at - timezone.now()).total_seconds()))
        Delivery.objects.update(next_at=timezone.now())
    assert all(abs(wait - wanted) <= 2 for wait, wanted in zip(waits, webhooks.BACKOFF, strict=True))
    assert webhooks.deliver_due() == 1
    webhooks.deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.status_code) == ("failed", 9, 503)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1 and len(receiver.got) == 9
    receiver.answers = []
    webhooks.send_again(delivery=delivery)
    webhooks.deliver(delivery.pk)
    delivery.refresh_from_db()
    assert delivery.state == "delivered"


def test_many_go_out_together_over_few_connections_and_one_that_is_down_holds_up_nobody(
    campaign, receiver, monkeypatch
):
    """Thirty messages in three turns, over four connections each; the receiver that is down is tried once a lane."""
    monkeypatch.setattr(webhooks, "TOGETHER", 10)
    down, _ = add(campaign, "http://127.0.0.1:9/", "round.state")
    add(campaign, receiver.url, "batch.completed")
    for number in range(30):
        webhooks.emit(campaign, "round.state" if number < 6 else "batch.completed", {"n": number})
    waking = Delivery.objects.order_by("id").values_list("pk", flat=True)
    turns = [webhooks.deliver(pk) for pk in waking]
    assert [turn for turn in turns if turn] == [10, 10, 10]
    assert sorted(json.loads(body)["data"]["n"] for _, body in receiver.got) == list(range(6, 30))
    assert len(set(receiver.ports)) <= 3 * webhooks.LINES < len(receiver.got)
    of_down = Delivery.objects.filter(webhook=down)
    assert of_down.filter(state="waiting", next_at__gt=timezone.now()).count() == 6
    assert sum(of_down.values_list("attempts", flat=True)) == webhooks.LINES


def test_a_receiver_that_is_gone_is_told_nothing_more(campaign, receiver):
    made, _ = add(campaign, receiver.url)
    receiver.answers = [410]
    webhooks.deliver(webhooks.ping(webhook=made, actor=campaign.created_by).pk)
    made.refresh_from_db()
    campaign.refresh_from_db()
    assert (made.is_active, campaign.listens) == (False, False)
    assert webhooks.emit(campaign, "batch.completed", {}) == 0


@pytest.mark.parametrize(
    "url",
    [
        *("http://example.org/", "ftp://example.org", "https://", "https://a b/", "", "https://u:p@example.org/"),
        *(
            "https://127.0.0.1/",
            "https://10.1.2.3/",
            "https://[::1]/",
            "https://169.254.169.254/",
            "https://localhost/",
        ),
        *("https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/", "https://[fe80::1%25eth0]/", "https://0.0.0.0/"),
        *("https://example.org:0/", "https://example.org:99999/", "https://224.0.0.1/", "https://[2002:a00:1::]/"),
    ],
)
def test_ssrf_private_and_odd_addresses_are_refused(campaign, url):
    with pytest.raises(Invalid):
        add(campaign, url)
    assert sending.post(url, body="{}", headers={}).status is None


def test_ssrf_a_name_that_leads_to_a_private_address_is_not_connected_to(campaign, monkeypatch):
    """Names are looked up when a message is sent, and what is checked is what is connected to."""
    made, _ = add(campaign, "https://receiver.example.org/")
    asked, connected = [], []
    monkeypatch.setattr(
        sending.socket, "getaddrinfo", lambda host, port, **_: asked.append(host) or [(2, 1, 6, "", ("10.0.0.7", port))]
    )
    monkeypatch.setattr(sending.socket, "create_connection", lambda *given: connected.append(given))
    delivery = webhooks.ping(webhook=made, actor=campaign.created_by)
    webhooks.deliver(delivery.pk)
    delivery.refresh_from_db()
    assert (delivery.state, asked, connected) == ("waiting", ["receiver.example.org"], [])
    assert "public" in delivery.error


def test_old_messages_are_forgotten_and_a_dead_workers_try_is_taken_up(campaign, receiver):
    made, _ = add(campaign, receiver.url)
    old, held = (webhooks.ping(webhook=made, actor=campaign.created_by) for _ in range(2))
    Delivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - datetime.timedelta(days=31))
    assert webhooks.forget_old() == 1
    Delivery.objects.filter(pk=held.pk).update(next_at=timezone.now() + webhooks.LOST)
    assert webhooks.deliver_due() == 0
    Delivery.objects.filter(pk=held.pk).update(next_at=timezone.now())
    assert webhooks.deliver_due() == 1


def test_the_page_shows_the_secret_once_and_the_log(campaign, lead, receiver):
    client = Client()
    client.force_login(lead)
    path = f"/campaigns/{campaign.pk}/webhooks/"
    made = client.post(path, {"action": "add", "url": receiver.url, "events": ["batch.completed"]}).content.decode()
    (webhook,) = Webhook.objects.all()
    assert sending.secret_of(webhook.salt) in made.replace("&#x2B;", "+").replace("&#43;", "+")
    assert "whsec_" not in client.get(path).content.decode()
    client.post(path, {"action": "ping", "webhook": webhook.pk})
    deliver_all()
    assert "ping" in client.get(path).content.decode()
    (delivery,) = Delivery.objects.all()
    assert client.post(path, {"action": "again", "delivery": delivery.pk}).status_code == 302
    assert client.post(path, {"action": "add", "url": "x", "events": []}).status_code == 422
    assert client.post(path, {"action": "remove", "webhook": webhook.pk}).status_code == 302
    assert not Webhook.objects.exists()
    assert Event.objects.filter(action__startswith="webhook.").count() == 2
