"""Differentiable controls, one file each: feature f, target y, loss L and metric."""
