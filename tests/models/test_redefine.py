"""Mirrors of a notebook: cells are run again, all of them or one of them, and relations stay whole."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import models

from django_rpc.models import RpcModel

SCRIPT = Path(__file__).with_name("notebook_run.py")


@pytest.mark.parametrize("kind", ["ipython", "plain"])
def test_cells_run_again(kind, required):
    if kind == "ipython":
        required(importlib.util.find_spec("IPython") is not None, "IPython is not installed")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), kind],
        env={**os.environ, "IPYTHONDIR": os.devnull + "-none"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 5, done.stdout + done.stderr


class Spot(RpcModel):
    class Rpc:
        app_label = "zoo"
        name = "Place"

    class Meta:
        app_label = "notebook_tests"

    name = models.CharField(max_length=60)


class Eatery(Spot):
    class Rpc:
        app_label = "zoo"
        name = "Restaurant"

    class Meta:
        app_label = "notebook_tests"

    place_ptr = models.OneToOneField(Spot, models.CASCADE, parent_link=True, primary_key=True)
    serves_pizza = models.BooleanField(default=False)


class Human(RpcModel):
    class Rpc:
        app_label = "zoo"
        name = "Person"

    class Meta:
        app_label = "notebook_tests"

    name = models.CharField(max_length=60)
    friends = models.ManyToManyField("self")
    follows = models.ManyToManyField("self", symmetrical=False, related_name="followers")


@pytest.mark.django_db(databases=["default", "rpc"])
def test_classes_that_have_another_name_than_the_services(local, messages):
    eatery = Eatery.objects.create(name="Blue", serves_pizza=True)
    assert Spot.objects.get(restaurant__serves_pizza=True).pk == eatery.pk  # backwards by the service's name
    ann, bob = (Human.objects.create(name=name) for name in ("Ann", "Bob"))
    ann.friends.add(bob)
    ann.follows.add(bob)
    with messages() as sent:
        people = list(Human.objects.prefetch_related("friends", "follows", "followers").order_by("name"))
        assert [[list(one.friends.all()), list(one.follows.all()), list(one.followers.all())] for one in people] == [
            [[bob], [bob], []],
            [[ann], [], [ann]],
        ]
    assert len(sent) == 1
    assert Human.objects.filter(followers=ann).get() == bob
