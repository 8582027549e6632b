"""Requests from raw nodes to the server and back, through the wire's bytes."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_rpc.graph.nodes import Call, Method, ModelSource
from django_rpc.server import ModelRpc, site
from django_rpc.server.handler import handle
from django_rpc.wire.codec import decode_response, encode_request
from django_rpc.wire.messages import Request

_numbers = itertools.count(1)


def source(label):
    return ModelSource(model=label, service="rpc")


def method(parent, name_, /, *args, **kwargs):
    return Method(parent=parent, name=name_, args=args, kwargs=kwargs)


def call(parent, name_, /, *args, **kwargs):
    return Call(parent=parent, name=name_, args=args, kwargs=kwargs)


def request_for(*outputs, request_id=None, **options):
    found = {}
    todo = list(outputs)
    while todo:
        node = todo.pop()
        if id(node) not in found:
            found[id(node)] = node
            todo.extend(node.inputs())
    nodes = sorted(found.values(), key=lambda node: node.order)
    indices = tuple(nodes.index(output) for output in outputs)
    return Request(id=request_id or f"t-{next(_numbers)}", nodes=tuple(nodes), outputs=indices, **options)


class Answered:
    """The response, and the SQL that the request ran."""

    def __init__(self, response, queries):
        self.response = response
        self.queries = queries

    @property
    def error(self):
        return self.response.error

    @property
    def outputs(self):
        assert self.error is None, self.error
        return self.response.outputs

    @property
    def output(self):
        (value,) = self.outputs
        return value


@pytest.fixture
def ask(db):
    """``ask(*nodes)``: the answer of the server to these outputs."""

    def ask(*outputs, using=connection, **options):
        message = encode_request(request_for(*outputs, **options))
        with CaptureQueriesContext(using) as captured:
            answer = handle(message)
        return Answered(decode_response(answer), [query["sql"] for query in captured])

    return ask


@pytest.fixture
def registered():
    """``registered(Model, fields=..., ...)``: replace the registration of a model for this test."""
    with contextlib.ExitStack() as stack:

        def register(model, rpc_class=None, **attributes):
            before = type(site._registry[model]) if model in site else None
            if before is not None:
                site.unregister(model)
            rpc_class = rpc_class or type(f"Test{model.__name__}Rpc", (ModelRpc,), attributes)
            site.register(model)(rpc_class)

            def restore():
                site.unregister(model)
                if before is not None:
                    site.register(model)(before)

            stack.callback(restore)
            return rpc_class

        yield register


@pytest.fixture
def unregistered():
    with contextlib.ExitStack() as stack:

        def unregister(model):
            before = type(site._registry[model])
            site.unregister(model)
            stack.callback(lambda: site.register(model)(before))

        yield unregister


@pytest.fixture
def settings_of_server(settings):
    """``settings_of_server(STRICT=False)``: DJANGO_RPC with these changes, for this test."""

    def change(**values):
        settings.DJANGO_RPC = {"SHOW_SQL": True, **values}

    return change
