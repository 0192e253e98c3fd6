"""DITTO and its rivals: controlling text-to-music diffusion at inference time."""

__version__ = "0.1.0"
