"""The paper's figures from finished runs: `python -m eval.figures` (DITTO, figures 2 to 10; conf/figures.yaml).

One file a figure: `draw(options, path)` writes the picture at `path` (results/figures/figure<k>.png) and the plotted
numbers beside it (.csv, with run, clip, model, device, commit and weights), and returns what it wrote. It raises a
UserError that names the command where a run is missing. A new figure is such a file and an entry of conf/figures.yaml,
with options of its own as further keyword arguments.
"""
