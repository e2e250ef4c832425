"""Our own Ops, for what the stock engine lacks or does slowly: one Op a file, its C code in a file beside it."""

from arignote.ops.dropout import Dropout, dropout

__all__ = ["Dropout", "dropout"]
