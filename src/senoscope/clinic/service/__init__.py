"""``senoscope serve``: a durable queue, worker processes, an HTTP interface and a viewer."""
