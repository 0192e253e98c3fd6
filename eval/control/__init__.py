"""Control metrics of finished runs from their sound files alone: one module a metric, on plain numpy arrays.

Nothing here shares code with `ditto.audio.features`, which the methods optimise: what a run reports about itself and
what is measured here are two implementations of one definition. `measured` does a whole run.
"""

from eval.control.measure import measured

__all__ = ["measured"]
