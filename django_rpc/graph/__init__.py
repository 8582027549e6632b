"""The expression language: nodes, the user's handle on them, the graph, the planner."""
