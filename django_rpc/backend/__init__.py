"""The Django database engine ``django_rpc.backend``: the one seam where a query's node is sent."""
