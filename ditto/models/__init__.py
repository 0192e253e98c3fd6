"""Generative models behind one small interface (see base.py)."""
