"""No test talks to Weights & Biases, nor pays for it, unless it asks: tests/test_wandb*.py set WANDB_MODE."""

import os
import signal

os.environ["WANDB_MODE"] = "disabled"
for _name in ("WANDB_API_KEY", "WANDB_SERVICE", "WANDB_BASE_URL", "WANDB_DIR", "WANDB_DATA_DIR"):
    os.environ.pop(_name, None)

# A shell that starts tests in the background has them ignore Ctrl-C, and so would the commands that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
