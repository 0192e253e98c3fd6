"""The paper's tables 1 to 11 from finished runs, ours beside the reported figures."""
