"""The expression language: nodes, the user's handle on them, the graph, the planner."""

import django_rpc.graph.elements  # isort: skip
import django_rpc.graph.content  # noqa: F401 - teaches pickle about nodes
