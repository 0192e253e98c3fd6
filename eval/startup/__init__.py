"""How long a user waits before anything happens, in fresh processes."""
