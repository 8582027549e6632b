"""The expression language: nodes, the user's handle on them, the graph, the planner."""

import django_rpc.graph.nodes.collections  # isort: skip
import django_rpc.graph.identity  # noqa: F401 - teaches pickle about nodes
