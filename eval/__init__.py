"""Evaluation of finished run directories: metrics, tables, figures. Never imports a method."""
