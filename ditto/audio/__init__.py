"""Sound: differentiable features, vocoder, reading and writing."""
