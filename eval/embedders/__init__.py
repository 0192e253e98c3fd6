"""Networks whose activations FAD is measured in; see `eval.embedders.base.Embedder`."""
