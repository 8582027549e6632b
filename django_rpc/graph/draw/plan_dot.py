"""A plan in the language of Graphviz: a frame for each stage, a colour for each service, an edge for each message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django_rpc.graph.draw.graph_dot import drawn, edge, header, legend, quoted
from django_rpc.graph.draw.layout import MANY, Box, box_of_node, boxes_of
from django_rpc.graph.nodes import Node
from django_rpc.graph.plan.expression_graph import ExpressionGraph
from django_rpc.graph.plan.stages import Plan, Routing, Stage

__all__ = ["Notes", "plan_to_dot"]

#: Texts below the boxes of nodes, by the number of the stage and the node.
Notes = Mapping[tuple[int, Node], str]

_FRAMES = ("#e8f1fb", "#fdf3e0", "#f3e8fb", "#e3f6f3", "#fbe8ee", "#eef0d8")  # of the services in alphabetical order
_CLIENT = "#f0f5ec"
_FORWARDED = {"style": "dashed"}
_TRIP = {"penwidth": 2, "color": "#274c77", "fontcolor": "#274c77"}


def plan_to_dot(
    plan: Plan,
    *,
    collapse: bool = True,
    rankdir: str = "TB",
    title: str = "",
    notes: Notes | None = None,
    routing: Routing | None = None,
) -> str:
    """Return the stages of ``plan`` in the language of Graphviz, from the first message of the client to the results.

    A thick edge is a message between the client and a service, or its answer. A dashed edge is a value that a service
    forwards to another, according to ``routing``. ``notes`` are texts below the boxes of their nodes.

    >>> from django_rpc.graph.nodes import Method, ModelSource
    >>> from django_rpc.graph.plan.pipeline import plan
    >>> text = plan_to_dot(plan([Method(ModelSource("shop.Order", "rpc"), "count")]))
    >>> "round trip 1" in text, "stage 1: service rpc" in text
    (True, True)
    """
    reasons = {} if routing is None else routing.reasons
    direct = frozenset(pair for pair, reason in reasons.items() if not reason)
    drawing = _Drawing(plan, collapse, notes or {}, direct)
    label = title or f"{legend(drawing.all_boxes())}; thick: between the client and a service"
    if direct and not title:
        label += "; dashed: forwarded by services"
    return "\n".join([*header(rankdir, label), *drawing.lines(), "}", ""])


class _Drawing:
    def __init__(self, plan: Plan, collapse: bool, notes: Notes, direct: frozenset[tuple[int, int]]) -> None:
        self.plan = plan
        self.direct = direct  # pairs of sender and receiver
        self.notes = notes
        services = sorted({stage.service for stage in plan.messages if stage.service is not None})
        self.fills = {name: _FRAMES[index % len(_FRAMES)] for index, name in enumerate(services)}
        receivers = {receiver for _, receiver in direct}
        trips = [
            number for number, stage in enumerate(plan.stages) if stage.service is not None and number not in receivers
        ]
        self.trip = {number: count for count, number in enumerate(trips, 1)}
        self.parts = [_StageFrame(number, stage, collapse, MANY) for number, stage in enumerate(plan.stages)]
        if len(self.all_boxes()) > MANY:  # in the whole picture
            self.parts = [_StageFrame(number, stage, collapse, 0) for number, stage in enumerate(plan.stages)]
        for number, place in plan.outputs:
            stage = plan.stages[number]
            self.parts[number].box_of[stage.nodes[stage.outputs[place]]].output = True

    def all_boxes(self) -> list[Box]:
        return [box for part in self.parts for box in part.boxes]

    def lines(self) -> list[str]:
        lines = ['  client [label="client" shape=ellipse style=filled fillcolor="#ffffff"];']
        lines.append('  results [label="results" shape=ellipse style=filled fillcolor="#ffffff" peripheries=2];')
        for part in self.parts:
            lines += self._frame(part)
        for part in self.parts:
            lines += self._incoming(part)
        ends = dict.fromkeys((stage, self._leaving(stage, place)) for stage, place in self.plan.outputs)
        for stage, name in ends:
            lines.append(edge(name, "results", self._style(stage, None)))
        return lines

    def _frame(self, part: _StageFrame) -> list[str]:
        """Return the lines of a stage: its boxes, and the edges between them."""
        service = part.stage.service
        place = "here, in the client" if service is None else f"service {service}"
        fill = _CLIENT if service is None else self.fills[service]
        lines = [
            f"  subgraph cluster_{part.number} {{",
            f"    label={quoted(f'stage {part.number + 1}: {place}')} labelloc=t labeljust=l "
            f"style={quoted('rounded,filled')} fillcolor={quoted(fill)} color={quoted('#9aa5b1')};",
        ]
        for box in part.boxes:
            notes = (self.notes.get((part.number, node)) for node in (*box.nodes, *box.others))
            lines.append("    " + drawn(box, part.prefix, [note for note in notes if note]))
        inside = [pair for pair in part.edges if not part.outside.keys() & set(pair)]
        lines += [
            "  " + edge(f"{part.prefix}{start}", f"{part.prefix}{end}", _labelled(part.edges[start, end]))
            for start, end in inside
        ]
        return [*lines, "  }"]

    def _incoming(self, part: _StageFrame) -> list[str]:
        """Return the edges to a stage: from the stages that send values to it, or else from the client."""
        lines = []
        pairs = {
            (part.outside[start], end): label for (start, end), label in part.edges.items() if start in part.outside
        }
        for (sender, end), label in pairs.items():
            style = self._style(sender[0], part.number)
            name = self._leaving(*sender)
            texts = [text for text in (style.get("label", "").strip(), label) if text]
            lines.append(edge(name, f"{part.prefix}{end}", {**style, **_labelled(", ".join(texts))}))
        if not pairs and part.stage.service is not None and part.boxes:
            attributes = {**self._style(None, part.number), "lhead": f"cluster_{part.number}"}
            lines.append(edge("client", f"{part.prefix}{part.boxes[0].number}", attributes))
        return lines

    def _leaving(self, stage: int, place: int) -> str:
        """Return the name of the box with an output of a stage."""
        part = self.parts[stage]
        node = part.stage.nodes[part.stage.outputs[place]]
        return f"{part.prefix}{part.box_of[node].number}"

    def _style(self, start: int | None, end: int | None) -> dict[str, Any]:
        """Return the attributes of an edge between two stages; None is the client before or after them."""
        services = [None if number is None else self.plan.stages[number].service for number in (start, end)]
        if services == [None, None]:
            return {}
        if (start, end) in self.direct:
            return {**_TRIP, **_FORWARDED, **_labelled("forwarded")}
        trip = self.trip.get(end) if end is not None else None
        word = "message" if self.direct else "round trip"  # several messages can have one answer
        return {**_TRIP, **_labelled(f"{word} {trip}" if trip else "")}


class _StageFrame:
    """A stage: its boxes, the edges between them, and the boxes of values from other stages."""

    def __init__(self, number: int, stage: Stage, collapse: bool, many: int) -> None:
        self.number = number
        self.stage = stage
        self.prefix = f"s{number}b"
        inputs = {value.node: (value.stage, value.place) for value in stage.inputs}
        graph = ExpressionGraph((*inputs, *stage.nodes), tuple([stage.nodes[index] for index in stage.outputs]))
        outside = {node: f"stage {sender}" for node, (sender, _) in inputs.items()}
        boxes, self.edges = boxes_of(graph, collapse=collapse, outside=outside, service=stage.service or "", many=many)
        for box in boxes:
            box.output = False  # an output of the stage; `_Drawing` marks the outputs of the plan
        self.box_of = box_of_node(boxes)
        #: Address of the value, by the number of a box that shows a value of another stage.
        self.outside = {self.box_of[node].number: address for node, address in inputs.items()}
        self.boxes = [box for box in boxes if box.number not in self.outside]


def _labelled(text: str) -> dict[str, str]:
    return {"label": f" {text}"} if text else {}
