"""Pictures of graphs and plans."""
