"""W&B's service process: one for all the runs of a process, and sometimes in need of an end.

`wandb.init` starts it, later runs of the process use it again (0.01 s instead of 0.4 s), and at exit wandb waits for it
without a bound. A service that hangs or was killed would therefore hold up the process, or fail every later run in it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import Any


def end() -> None:
    """Kill the service that this process uses, if any, and forget it: the next `wandb.init` starts another.

    There is no public way that does not wait for it: these are wandb 0.31's own attributes, and tests hold them.
    """
    wandb_setup: Any = sys.modules.get("wandb.sdk.wandb_setup")
    if wandb_setup is None:
        return
    setup, wandb_setup._singleton = wandb_setup._singleton, None
    os.environ.pop("WANDB_SERVICE", None)
    connection: Any = getattr(setup, "_connection", None)
    if connection is None:
        return
    if connection._cleanup:
        connection._cleanup()  # takes back the hook that waits for the service at exit
    connection._finalizer._queue.put(None)  # ends its thread, which would print a traceback
    if connection._proc:
        connection._proc._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            connection._proc._process.wait(5)
