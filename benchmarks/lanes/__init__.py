"""What is timed: each module is a process of its own (``python -m benchmarks.lanes.ours``), see ``serve``."""
