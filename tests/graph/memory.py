"""A service in memory: lists of numbers, called through the bytes of the wire like a real service."""

from __future__ import annotations

import itertools

from django_rpc.graph.delayed.runner import Runner
from django_rpc.graph.local_evaluation import Values
from django_rpc.graph.nodes import Column, Filter, Map, Method, ModelSource, Rows
from django_rpc.graph.nodes.collections import free_params
from django_rpc.wire.codec import decode_request, decode_response, encode_request, encode_response
from django_rpc.wire.messages import Request, Response


class Query:
    """Numbers of a table, which are read when a method needs them."""

    def __init__(self, read):
        self.read = read

    def filter(self, **conditions):
        return Query(lambda: [n for n in self.read() if all(_holds(n, *one) for one in conditions.items())])

    def count(self):
        return len(self.read())

    def first(self):
        return next(iter(self.read()), None)

    def in_bulk(self):
        return dict(enumerate(self.read()))


def _holds(number, name, value):
    if name == "n__in":
        return number in (value.read() if isinstance(value, Query) else value)
    return number > value if name == "n__gt" else number != value


def _rows(value):
    return value.read() if isinstance(value, Query) else value


class Frame(Values):
    """The values of one element; ``outer`` has the other values."""

    __slots__ = ("service",)

    def __init__(self, service, outer=None):
        super().__init__({}, outer)
        self.service = service

    def __missing__(self, node):
        frame = self.outer
        while frame is not None:
            if node in frame:
                return frame[node]
            frame = frame.outer
        value = self[node] = self.service.visit(node, self)
        return value


class MemoryService(Runner):
    """The runner of a service with lists of numbers as models."""

    service = None

    timeout = None

    def __init__(self, name, tables):
        self.service = name
        self.tables = tables
        self.requests = []

    def table(self, model):
        rows = self.tables[model]
        query = Query(lambda: list(rows))
        query.create = lambda n: rows.append(n) or n
        return query

    def send(self, stage, timeout=None, priority=False):
        request = Request(id=f"r{len(self.requests)}", nodes=stage.nodes, outputs=stage.outputs)
        request = decode_request(encode_request(request))
        self.requests.append(request)
        values, elements = Frame(self), free_params(request.nodes)
        for node in request.nodes:
            if not elements[node]:
                values[node] = self.visit(node, values)
        outputs = [values[request.nodes[index]] for index in request.outputs]
        plain = tuple([value.read() if isinstance(value, Query) else value for value in outputs])
        return Answered(decode_response(encode_response(Response(id=request.id, outputs=plain))).outputs)

    def visit(self, node, values):
        if isinstance(node, Map | Filter):
            made = []
            for element in _rows(values[node.parent]):
                frame = Frame(self, values)
                frame[node.param] = element
                made.append((element, _rows(frame[node.body])))
            if isinstance(node, Map):
                return [value for _, value in made]
            return [element for element, value in made if value]
        if isinstance(node, ModelSource):
            return self.table(node.model)
        if isinstance(node, Rows):
            return values[node.parent]
        if isinstance(node, Column):
            return sorted(set(values[node.parent].read()))
        if isinstance(node, Method) and node.name in ("values", "values_list"):
            return values[node.parent]
        return node.compute(values)


class Answered:
    request_id = "memory"
    cancelled = False
    _ids = itertools.count()

    def __init__(self, values):
        self.values = list(values)

    def wait(self, timeout=None):
        return self.values

    async def arrive(self, timeout=None):
        return self.values

    def done(self):
        return True

    def cancel(self):
        return False
