"""Sweeps that survive: what a Hydra multirun of `python -m ditto.run` does beside calling one job after another."""
