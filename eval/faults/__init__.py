"""Does a sweep survive? The same sweep with and without faults at random, compared: `python -m eval.faults`."""
