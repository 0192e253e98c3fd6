"""The judges' process: makes one network, then embeds what it is sent until the other side ends.

`process.Remote` starts it with the judges' interpreter and speaks `wire` with it over an inherited socket. It imports
torch, NumPy and soxr besides the judge's package, and of this project only what needs no more.
"""

from __future__ import annotations

import contextlib
import os
import pydoc
import select
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ditto.types import UserError
from eval.judges.wire import receive, send


def main() -> None:
    """Serve on the file descriptor that is the last argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the other side decides
    threading.Thread(target=_end_with_the_other_side, args=[int(sys.argv[-1])], daemon=True).start()
    with Connection(int(sys.argv[-1])) as channel, contextlib.suppress(EOFError, BrokenPipeError):
        serve(channel)


def serve(channel: Connection) -> None:
    """First a message with "target" and "options" makes the network, then each with "method" asks it something."""
    network: Any = None
    while True:
        message, arrays = receive(channel)
        try:
            if "target" in message:
                found: Any = pydoc.locate(message["target"])
                network = found(**message["options"])
                answer: tuple[dict[str, Any], list[np.ndarray]] = {"described": network.described}, []
            else:
                values = getattr(network, message["method"])(message.get("texts", arrays))
                answer = {}, [values]
        except Exception as error:
            traceback.print_exc()
            answer = {"error": str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"}, []
        send(channel, *answer)


def _end_with_the_other_side(descriptor: int) -> None:
    """Also in the middle of an answer that nobody waits for: a socket hangs up even where its other side was killed."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)
    hang_up.poll()
    os._exit(0)
