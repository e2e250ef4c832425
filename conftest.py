"""Which modules have no examples to run: each engine is there where it is installed."""

from importlib import util

from arignote.engine.choice import chosen

collect_ignore = [f"arignote/engine/{name}_engine.py" for name in ("theano", "pytensor") if name != chosen()]
if util.find_spec("sklearn") is None:
    collect_ignore.append("arignote/estimator.py")
if util.find_spec("jax") is None:
    collect_ignore += ["arignote/engine/jax_backend.py", "arignote/ops/in_jax.py"]
