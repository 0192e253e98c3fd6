"""Mistakes that are not ours. In a module of their own, so that a command can report one without loading PyTorch."""


class UserError(ValueError):
    """A mistake the user can mend: one clear line that says what to do. The commands print it and exit with code 2."""


class NoSpace(UserError):
    """Something could not be written; the same command goes on once there is room, and nothing else has to be asked."""


class UndefinedTask(UserError):
    """A method asked for a control that it has no meaning for; the message lists those that it has."""
