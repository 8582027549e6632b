"""Lowering: logical reads of a request become physical reads, which answer many reads by few statements.

- `query_template`: a logical read without its values; reads of one template are candidates for one statement.
- `physical_read`: the protocol of the physical reads, each with a module: `related_instance`, `grouped_aggregate`,
  `window_slice`, `batched_lookup`, `correlated_subquery` and `loop`.
- `rules`: their order.
- `physical_plan`: the physical reads of a request, without its rows, for ``explain()``.
"""
