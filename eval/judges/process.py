"""A network of the judges in a process of its own, run by the interpreter of their environment.

That environment (`requirements.txt`) cannot be this one: another NumPy, torchvision, packages that change the process.
The worker gets sound and prompts through a socket and answers with embeddings; whatever its packages print, seed or
switch stays with it. What it writes is kept, for the error where it dies.

The worker ends with its `Remote`: closed, collected, at exit, or when this process is gone (its socket then hangs up).
"""

from __future__ import annotations

import os
import pydoc
import signal
import socket
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np

import ditto
from ditto.types import UserError
from eval.judges.base import Network
from eval.judges.wire import receive, send

PYTHON = ".venv-judges/bin/python"  # of `make judges`, from the repository's root
REQUIREMENTS = "eval/judges/requirements.txt"
# Last on the path: nothing of this environment may stand in for a package of the judges'.
START = "import sys; sys.path.append(sys.argv[1]); from eval.judges.worker import main; main()"


def network(target: str, python: str | None, option: str, **options: Any) -> Network:
    """The network `target(**options)`, here (python=None) or run by that interpreter; option: what users set it by."""
    if python is None:
        found: Any = pydoc.locate(target)
        return found(**options)
    return Remote(target, python, option, **options)


class Remote:
    """A `Network` that lives in a worker; its errors, and its end, are UserErrors here."""

    def __init__(self, target: str, python: str, option: str, **options: Any) -> None:
        if not Path(python).is_file():
            raise UserError(
                f"no judges' environment at '{python}': `make judges` makes it (2 GB, with CUDA 5 GB), or: python3 -m "
                f"venv .venv-judges && .venv-judges/bin/python -m pip install -r {REQUIREMENTS}. "
                f"{option}=PATH names another interpreter, {option}=null takes this one"
            )
        self.python = python
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (as long as the worker)
        self._process, self._channel = _started(python, self._log)
        self.close = weakref.finalize(self, _end, self._process, self._channel)
        try:
            self.described: dict[str, str] = self._ask({"target": target, "options": options})[0]["described"]
        except UserError:
            self.close()
            raise

    def embed_texts(self, prompts: list[str]) -> np.ndarray:
        return self._ask({"method": "embed_texts", "texts": list(prompts)})[1][0]

    def embed_waves(self, waves: list[np.ndarray]) -> np.ndarray:
        return self._ask({"method": "embed_waves"}, waves)[1][0]

    def _ask(self, message: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> tuple[dict, list[np.ndarray]]:
        try:
            send(self._channel, message, arrays)
            answer, values = receive(self._channel)
        except (EOFError, OSError) as error:
            self.close()
            raise UserError(f"the judges' process ({self.python}) {self._last_words()}") from error
        except BaseException:  # Ctrl-C: the answer to this would be taken for that of the next question
            self.close()
            raise
        if "error" in answer:
            raise UserError(answer["error"])
        return answer, values

    def _last_words(self) -> str:
        """How the worker ended, and the last line that it wrote."""
        code = self._process.wait()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        size = os.fstat(self._log.fileno()).st_size
        said = os.pread(self._log.fileno(), 4000, max(size - 4000, 0)).decode(errors="replace").strip()
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return f"{how}{memory}: {said.splitlines()[-1] if said else 'it wrote nothing'}"


def _started(python: str, log: IO[bytes]) -> tuple[subprocess.Popen, Connection]:
    """The worker and this side of its socket.

    -I: PYTHONPATH and the user's packages belong to this environment; -u: its last words are not lost in a buffer.
    """
    here, there = socket.socketpair()
    root = str(Path(ditto.__file__).parents[1])
    with there:
        process = subprocess.Popen(
            [python, "-Iu", "-c", START, root, str(there.fileno())],
            stdin=subprocess.DEVNULL,  # torch.hub asks whether to trust a repository: nobody would see the question
            stdout=log,
            stderr=log,
            pass_fds=[there.fileno()],
        )
    return process, Connection(here.detach())


def _end(process: subprocess.Popen, channel: Connection) -> None:
    """Nothing of a worker needs saving; one that ended by itself keeps its exit code."""
    channel.close()
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
