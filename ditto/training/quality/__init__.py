"""How good a model is without any control: `python -m ditto.training.quality` (docs/evaluation.md, "The model")."""
