"""The exception raised when the engine cannot be used."""


class EngineError(ImportError):
    """The symbolic engine cannot be used on this machine. The message says how to fix it."""
