"""The rules of the house: who imports whom, sizes of files and functions, words."""

import ast
import functools
import graphlib
import pathlib
import re
import statistics

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = "lsaprobe_jax"
FOLDERS = (PACKAGE, "launch", "benchmarks", "tests", "configs")

# Each layer may import from itself and from those above it in this list.
LAYERS = (
  ("errors", "text", "strict_json", "files", "optional", "settings"),
  ("backends", "parallel", "compilation_cache"),
  ("diffusion",),
  ("models", "distances", "search"),
  ("twins",),
  ("probe",),
  ("attacks",),
  ("rows",),
  ("data",),
  ("metrics",),
  ("scoring",),
  ("training",),
  # An `AuditResult` saves its own dossier, so that pages lie below audits.
  ("report",),
  ("audit",),
  ("", "cli"),
  ("launch",),
)
RANK = {name: i for i, names in enumerate(LAYERS) for name in names}

MAX_LINES, MAX_FUNCTION, MAX_MEDIAN = 350, 45, 20
MAX_LAUNCH, MAX_LAUNCHER = 2_000, 100

# What STYLE.md's vocabulary has other words for.
FORBIDDEN = {
  "damage": r"(?i)(?<![a-z])damages?(?![a-z])",
  "fwd/bwd": r"(?i)\bfwd\b|\bbwd\b",
  "rivals": r"(?i)\brivals?\b",
  "- ref": r"(?<=\w) - ref\b",
  "BASELINES rule": r"BASELINES(\.md| rule)",
  "fourth look": r"(?i)\b(second|third|fourth|fifth|sixth) look\b",
}


def python_files(*folders: str) -> list[pathlib.Path]:
  return sorted(path for name in folders for path in (ROOT / name).rglob("*.py"))


def shown(path: pathlib.Path) -> str:
  return str(path.relative_to(ROOT))


@functools.cache
def module_name(path: pathlib.Path) -> str:
  name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
  return name.removesuffix(".__init__")


@functools.cache
def modules() -> dict[str, pathlib.Path]:
  return {module_name(path): path for path in python_files(PACKAGE, "launch")}


@functools.cache
def parsed(path: pathlib.Path) -> ast.Module:
  return ast.parse(path.read_text())


@functools.cache
def imported(path: pathlib.Path) -> dict[str, int]:
  """Names that a file imports anywhere in it, functions included, by line.

  `from a import b` is `a.b` where that is a module of the project, and else `a`. The
  version stands in the package itself, which is there before any of its modules.
  """
  found = {}
  for node in ast.walk(parsed(path)):
    if isinstance(node, ast.Import):
      found |= {alias.name: node.lineno for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{shown(path)}:{node.lineno}: a relative import"
      for alias in node.names:
        if (node.module, alias.name) == (PACKAGE, "__version__"):
          continue
        whole = f"{node.module}.{alias.name}"
        known = whole in modules() or node.module.split(".")[0] in ("absl",)
        found[whole if known else node.module] = node.lineno
  return found


def own_imports(path: pathlib.Path) -> dict[str, int]:
  """Those of the project."""
  return {name: line for name, line in imported(path).items() if name in modules()}


def layer(module: str) -> str:
  parts = module.split(".")
  return (parts[1] if len(parts) > 1 else "") if parts[0] == PACKAGE else parts[0]


def test_every_module_has_a_layer():
  assert {layer(module) for module in modules()} == set(RANK)


def test_no_layer_imports_from_one_above_it():
  arrows = [
    f"{shown(path)}:{line} imports {name}"
    for module, path in modules().items()
    for name, line in own_imports(path).items()
    if RANK[layer(name)] > RANK[layer(module)]
  ]
  assert not arrows, "\n".join(arrows)


def test_packages_of_one_layer_do_not_import_each_other_in_a_circle():
  graph = {}
  for module, path in modules().items():
    others = {layer(name) for name in own_imports(path)} - {layer(module)}
    graph.setdefault(layer(module), set()).update(others)
  check_no_circle(graph)


def test_modules_do_not_import_each_other_in_a_circle():
  check_no_circle(
    {module: set(own_imports(path)) for module, path in modules().items()}
  )


def check_no_circle(graph):
  try:
    graphlib.TopologicalSorter(graph).prepare()
  except graphlib.CycleError as error:
    pytest.fail(" <- ".join(error.args[1]))


def test_recipes_of_corpora_are_built_by_their_launcher_alone():
  inside = f"{PACKAGE}.data.build"
  users = [
    f"{shown(path)}:{line}"
    for module, path in modules().items()
    for name, line in own_imports(path).items()
    if name.startswith(inside) and not module.startswith(inside)
  ]
  assert {user.split(":")[0] for user in users} <= {"launch/corpus.py"}


@pytest.mark.parametrize("part", ["rows", "metrics"])
def test_rows_and_metrics_are_read_without_jax(part):
  todo = [module for module in modules() if layer(module) == part]
  seen = set()
  while todo:
    module = todo.pop()
    if module in seen:
      continue
    seen.add(module)
    names = imported(modules()[module])
    heavy = {name.split(".")[0] for name in names} & {"jax", "flax", "optax"}
    assert not heavy, f"{module} imports {heavy}"
    todo += own_imports(modules()[module])
    # Importing a module runs the packages around it; the first of them imports nothing
    # (test_api.py).
    todo += [package for package in around(module)[1:] if package in modules()]


def around(module: str) -> list[str]:
  parts = module.split(".")
  return [".".join(parts[:count]) for count in range(1, len(parts))]


def test_flags_and_configurations_stay_in_launchers():
  unwanted = ("absl.app", "absl.flags", "ml_collections")
  found = [
    f"{shown(path)}:{line} imports {name}"
    for path in python_files(PACKAGE)
    for name, line in imported(path).items()
    if name.startswith(unwanted)
  ]
  assert not found, "\n".join(found)


def test_no_file_is_long():
  lengths = {
    path: len(path.read_text().splitlines()) for path in python_files(*FOLDERS)
  }
  long = [f"{shown(path)}: {n}" for path, n in lengths.items() if n > MAX_LINES]
  assert not long, "\n".join(long)


def functions(*folders: str):
  """(place, lines, whether there is a docstring) of all functions."""
  for path in python_files(*folders):
    for node in ast.walk(parsed(path)):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        lines = node.end_lineno - node.lineno + 1
        named = f"{shown(path)}:{node.lineno} {node.name}"
        # A configuration is one function, which the file's docstring is about.
        explained = node.name == "get_config" or ast.get_docstring(node) is not None
        yield named, lines, explained


def test_no_long_function_goes_unexplained():
  long = [
    f"{place}: {lines}"
    for place, lines, explained in functions(*FOLDERS)
    if lines > MAX_FUNCTION and not explained
  ]
  assert not long, "\n".join(long)


def test_functions_are_short_as_a_rule():
  for folder in FOLDERS:
    found = [lines for _, lines, _ in functions(folder)]
    assert statistics.median(found) < MAX_MEDIAN, folder


def test_launchers_are_thin():
  texts = {path: path.read_text() for path in python_files("launch")}
  lengths = {path: len(text.splitlines()) for path, text in texts.items()}
  long = [
    f"{shown(path)}: {lengths[path]}"
    for path, text in texts.items()
    if "__main__" in text and lengths[path] >= MAX_LAUNCHER
  ]
  assert not long, "\n".join(long)
  assert sum(lengths.values()) < MAX_LAUNCH


def prose() -> list[pathlib.Path]:
  """Everything that people read, but for what is history or made of old rows."""
  found = [
    path for path in python_files(*FOLDERS, "docs") if path.name != "test_house.py"
  ]
  found += (ROOT / "docs").rglob("*.md")
  found += (ROOT / "benchmarks").glob("*.md")
  found += (ROOT / PACKAGE / "report" / "templates").iterdir()
  found += (ROOT / "notebooks").glob("*.ipynb")
  return found + [
    ROOT / name for name in ("README.md", "RESULTS.md", "CONTRIBUTING.md")
  ]


@pytest.mark.parametrize("word", FORBIDDEN)
def test_one_vocabulary(word):
  pattern = re.compile(FORBIDDEN[word])
  found = [
    f"{shown(path)}:{number}: {line.strip():.80}"
    for path in prose()
    for number, line in enumerate(path.read_text().splitlines(), 1)
    if pattern.search(line)
  ]
  more = [f"and {len(found) - 30} more"] if len(found) > 30 else []
  assert not found, "\n".join(found[:30] + more)
