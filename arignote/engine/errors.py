"""What the engine raises when it cannot start."""


class EngineError(ImportError):
    """The symbolic engine cannot be used as this machine is set up. The message says how to mend it."""
