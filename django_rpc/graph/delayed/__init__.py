"""`Delayed`, the user's handle on a node, modelled on ``dask.delayed``."""
