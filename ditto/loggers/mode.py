"""Whether W&B is to be online, offline or off: asked of the options, the environment and the keys of this machine."""

from __future__ import annotations

import os
import socket
import urllib.request
from typing import Any
from urllib.parse import urlsplit

# Words of W&B's own variable WANDB_MODE, old and new.
_WORDS = {"online": "online", "run": "online", "shared": "online", "offline": "offline", "dryrun": "offline"}
_REACH_S = 3.0


def switched_off() -> bool:
    """Did the user's environment say that W&B is not to be used at all? Asked without importing it."""
    return os.environ.get("WANDB_MODE", "").lower() == "disabled" or (
        os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes")
    )


def chosen_mode(mode: str) -> str:
    """`mode` itself, or for "auto" what WANDB_MODE says, else online where there is a key and offline where not."""
    if mode != "auto":
        return mode
    said = _WORDS.get(os.environ.get("WANDB_MODE", "").lower())
    return said or ("online" if has_key() else "offline")


def has_key() -> bool:
    """Is there a key in the environment, in W&B's settings or in netrc?"""
    from wandb.sdk.lib import wbauth

    settings = _settings()
    return bool(settings.api_key or settings.identity_token_file or wbauth.read_netrc_auth(host=settings.base_url))


def reachable() -> bool:
    """Does anything listen where W&B should be? Quick, so that a run need not wait for W&B's own many attempts.

    Behind a proxy only W&B itself can tell.
    """
    url = urlsplit(_settings().base_url)
    if not url.hostname or urllib.request.getproxies().get(url.scheme):
        return True
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        socket.create_connection((url.hostname, port), timeout=_REACH_S).close()
    except OSError:
        return False
    return True


def _settings() -> Any:
    """W&B's settings of this process: files, then environment. Starts nothing."""
    from wandb.sdk import wandb_setup

    return wandb_setup.singleton().settings
