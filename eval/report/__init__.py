"""One static page with the sound of every method beside the others: `python -m eval.report`."""
