"""Training of the models that the benchmark ships."""
