"""Is a stitched piece heard to be stitched?"""


def evaluate(wave_N, rate, joins, circular=False):
    return {}
