"""Judges whose packages do not fit beside this project's: their networks, and the process and environment they get.

`requirements.txt` is that environment (`make judges`), `process.network` makes a network there or in this process.
"""
