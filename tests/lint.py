"""Find checks that cannot fail, by reading the tests: ``python -m tests.lint [FOLDER]``, part of ``make lint``.

1. A test that asserts nothing, neither itself nor by a function that it calls.
2. The answer of a comparison, or of a function that returns whether something is so, that nothing is done with.
3. An assertion that is always true: of a tuple, a constant, a generator, or of two things that are written the same.
4. An assertion whose message is a comparison: ``assert a, b == c`` compares nothing.
5. ``assert all(...)`` over what a search found, which is true if nothing was found, unless the same function asserts
   something else about it.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHECKS = {"raises", "warns", "fail", "deprecated_call"}  # of pytest; whatever begins with assert_ is one, too
ANSWERS = {"all", "any", "isinstance", "issubclass", "hasattr", "callable", "array_equal", "allclose", "isclose"}
SEARCHES = {"findall", "finditer", "glob", "rglob", "filter"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Module:
    """A module of the tests: its functions, and what it imports from others.

    Parameters
    ----------
    path : Path
    name : str
        As it is imported, e.g. "tests.helpers".
    """

    def __init__(self, path: Path, name: str):
        self.path, self.name = path, name
        self.tree = ast.parse(path.read_text(), str(path))
        self.functions: dict[str, list[Function]] = {}
        self.imports: dict[str, tuple[str, str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                self.functions.setdefault(node.name, []).append(node)
            if isinstance(node, ast.ImportFrom) and node.module:
                self.imports |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}


class Tests:
    """All modules of a folder, read together, since helpers are called across modules."""

    def __init__(self, folder: Path):
        folder = folder.resolve()
        self.modules: dict[str, Module] = {}
        for path in sorted(folder.rglob("*.py")):
            name = ".".join((folder.name, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            self.modules[name] = Module(path, name)
        self._asserting = self._closure(_asserts, lambda name: name in CHECKS or name.startswith("assert_"))
        self._answering = self._closure(_answers, ANSWERS.__contains__) - self._asserting

    def _closure(
        self, is_one: Callable[[Function, Callable[[ast.Call], bool]], bool], is_known: Callable[[str], bool]
    ) -> set[Function]:
        """Return the functions of a kind.

        Parameters
        ----------
        is_one : callable
            ``is_one(function, calls_one)``: whether a function is of the kind, where ``calls_one(call)`` says whether
            what it calls is.
        is_known : callable
            Whether a function of another library, by its name, is of the kind.
        """
        found: set[Function] = set()
        n_before = -1
        while len(found) != n_before:
            n_before = len(found)
            for module in self.modules.values():

                def calls_one(call: ast.Call, module: Module = module) -> bool:
                    functions = self._called(call, module)
                    return found.issuperset(functions) if functions else is_known(_name(call))

                functions = (function for each in module.functions.values() for function in each)
                found.update([function for function in functions if is_one(function, calls_one)])
        return found

    def _called(self, call: ast.Call, module: Module) -> list[Function]:
        """Return the functions of these tests that a call may mean: one, or several of that name in the module."""
        function = call.func
        if isinstance(function, ast.Name):
            if function.id in module.functions:
                return module.functions[function.id]
            source, name = module.imports.get(function.id, ("", ""))
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            if function.value.id == "self":
                return module.functions.get(function.attr, [])
            source, name = ".".join(module.imports.get(function.value.id, ("", ""))), function.attr
        else:
            return []
        return self.modules[source].functions.get(name, []) if source in self.modules else []

    def problems(self) -> Iterator[str]:
        """Iterate over what is wrong, each with its file and line."""
        for module in self.modules.values():
            for line, what in sorted(self._problems_of(module)):
                path = module.path
                yield f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{line}: {what}"

    def _problems_of(self, module: Module) -> Iterator[tuple[int, str]]:
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                if node.name.startswith("test") and node not in self._asserting:
                    yield node.lineno, f"{node.name} asserts nothing"
                yield from _vacuous(node)
            elif isinstance(node, ast.Expr) and self._is_answer(node.value, module):
                yield node.lineno, f"nothing is done with {ast.unparse(node.value):.60}"
            elif isinstance(node, ast.Assert):
                if _is_always_true(node.test):
                    yield node.lineno, f"{ast.unparse(node.test):.60} is always true"
                if isinstance(node.msg, ast.Compare):
                    yield node.lineno, f"the comparison {ast.unparse(node.msg):.60} is a message"

    def _is_answer(self, value: ast.expr, module: Module) -> bool:
        """Return True for an expression that says whether something is so, and does nothing else."""
        if isinstance(value, ast.Call):
            functions = self._called(value, module)
            return self._answering.issuperset(functions) if functions else _name(value) in ANSWERS
        return isinstance(value, ast.Compare | ast.BoolOp) or _is_not(value)


def _name(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_not(value: ast.expr | None) -> bool:
    return isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)


def _asserts(function: Function, calls_one: Callable[[ast.Call], bool]) -> bool:
    """Return True if a function, or one inside it, asserts something, or calls a function that does."""
    return any(
        isinstance(node, ast.Assert)
        or (isinstance(node, ast.Raise) and node.exc is not None and "AssertionError" in ast.unparse(node.exc))
        or (isinstance(node, ast.Call) and calls_one(node))
        for node in ast.walk(function)
    )


def _answers(function: Function, calls_one: Callable[[ast.Call], bool]) -> bool:
    """Return True if all that a function returns says whether something is so."""
    returned = [node.value for node in _own_nodes(function) if isinstance(node, ast.Return)]
    return bool(returned) and all(
        isinstance(value, ast.Compare | ast.BoolOp)
        or _is_not(value)
        or (isinstance(value, ast.Constant) and isinstance(value.value, bool))
        or (isinstance(value, ast.Call) and calls_one(value))
        for value in returned
    )


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """Iterate over the nodes of a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _is_always_true(test: ast.expr) -> bool:
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Tuple | ast.List | ast.Set):
        return bool(test.elts)
    if isinstance(test, ast.Dict):
        return bool(test.keys)
    if isinstance(test, ast.BoolOp):
        return (any if isinstance(test.op, ast.Or) else all)(map(_is_always_true, test.values))
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        same = len({ast.dump(side) for side in sides}) == 1
        return same and not any(isinstance(node, ast.Call) for node in ast.walk(test))  # two calls may differ
    if isinstance(test, ast.Call) and _name(test) == "all":
        return bool(test.args) and isinstance(test.args[0], ast.Tuple | ast.List) and not test.args[0].elts
    return isinstance(test, ast.GeneratorExp | ast.Lambda | ast.JoinedStr)


def _vacuous(function: Function) -> Iterator[tuple[int, str]]:
    """Iterate over assertions that all of something is so, where it may be that there is nothing."""
    nodes = list(_own_nodes(function))
    found = {
        target.id: node.value
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    asserts = [node for node in nodes if isinstance(node, ast.Assert)]
    mentions = [node for each in asserts for node in ast.walk(each) if isinstance(node, ast.Name)]
    for node in asserts:
        for call in ast.walk(node.test):
            if not (isinstance(call, ast.Call) and _name(call) == "all" and call.args):
                continue
            over = call.args[0]
            over = over.generators[0].iter if isinstance(over, ast.GeneratorExp | ast.ListComp) else over
            if isinstance(over, ast.Name):
                within = set(ast.walk(call))
                if any(mention.id == over.id and mention not in within for mention in mentions):
                    continue
                over = found.get(over.id, over)
            if _is_search(over):
                yield node.lineno, f"{ast.unparse(call):.60} is true if nothing is found"


def _is_search(value: ast.expr) -> bool:
    """Return True for an expression that may well find nothing."""
    if isinstance(value, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        return any(part.ifs or _is_search(part.iter) for part in value.generators)
    if isinstance(value, ast.Call):
        inner = _name(value) in ("sorted", "list", "set", "tuple") and value.args and _is_search(value.args[0])
        return _name(value) in SEARCHES or bool(inner)
    return False


def main(folder: Path) -> int:
    """Print what is wrong with the tests in a folder; return the exit code."""
    problems = list(Tests(folder).problems())
    print("\n".join(problems) or "Every check can fail.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "tests"))
