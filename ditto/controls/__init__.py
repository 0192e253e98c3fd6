"""Controls: one file each with the feature f, the target y, the loss L and the metric (DITTO, section 4)."""
