"""Django's debug page where a service does not answer: it prints querysets, and must not wait for each."""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass

import pytest
from django.db import connections
from django.http import HttpResponse
from django.test import Client, override_settings
from django.urls import path

from django_rpc.client.hooks import MessageListener
from django_rpc.client.session import Session
from django_rpc.demo.client.shop.models import Customer, Order
from django_rpc.demo.services import free_port
from django_rpc.errors import RpcError

from .conftest import remove_queues
from .test_weather import echo


def view(request, fails="service"):
    if fails == "warm":
        raise ValueError("the first page imports the debug page")
    vip = Customer.objects.filter(tier="vip")
    orders = Order.objects.filter(customer__in=vip.values("pk"))
    many = [Customer.objects.filter(pk=number) for number in range(8)]
    by_name = {"orders": orders, "newest": Order.objects.order_by("-pk")}
    if fails == "view":
        raise ValueError(len(many) + len(by_name))
    return HttpResponse(str(list(orders)))


urlpatterns = [path("<str:fails>", view)]


@dataclass
class Dead:
    """Settings of a service that does not answer."""

    settings: dict


@pytest.fixture(params=["no worker on Redis", "no worker on RabbitMQ", "no broker", "no result backend"])
def dead(request, redis):
    broker = backend = redis.url
    if request.param == "no worker on RabbitMQ":
        broker, backend = request.getfixturevalue("rabbitmq_url"), "rpc://"
    elif request.param == "no broker":
        broker = f"redis://127.0.0.1:{free_port()}/0"
    elif request.param == "no result backend":
        backend = f"redis://127.0.0.1:{free_port()}/0"
    queue = f"django_rpc_test_{uuid.uuid4().hex[:8]}"
    yield Dead({"BROKER_URL": broker, "RESULT_BACKEND": backend, "DEFAULT_QUEUE_NAME": queue, "TIMEOUT": 30})
    if request.param == "no worker on RabbitMQ":
        remove_queues(broker, [queue])


@pytest.mark.parametrize("fails", ["service", "view"])
def test_the_debug_page_of_a_dead_service_takes_less_than_five_seconds(dead, use_service, fails):
    with use_service(dead), override_settings(DEBUG=True, ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"]):
        client = Client(raise_request_exception=False)
        client.get("/warm")
        with contextlib.suppress(RpcError):  # loads the modules of the transport; "rpc" has no outage yet
            Session(dead.settings, alias="warm").compute([echo(1)], timeout=0.05)
        ids = []
        connections["rpc"].session.hooks.append(MessageListener(lambda record: ids.append(record.request_id)))
        started = time.monotonic()
        page = client.get(f"/{fails}")
        seconds = time.monotonic() - started
    assert page.status_code == 500
    text = page.content.decode()
    assert "not fetched, after" in text
    assert "Customer.objects.filter(tier=&#x27;vip&#x27;)" in text or "filter(tier=" in text
    assert len(ids) <= 1
    assert seconds < 5
