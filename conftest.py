"""Which modules have no examples to run: each engine is there where it is installed."""

from arignote.engine.choice import chosen

collect_ignore = [f"arignote/engine/{name}_engine.py" for name in ("theano", "pytensor") if name != chosen()]
