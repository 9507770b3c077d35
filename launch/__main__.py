"""Lists the launchers, with one line each.

python -m launch
"""

import ast
import pathlib
import sys


def launchers() -> dict[str, str]:
  """Name -> first line of its docstring, of the modules here that run as commands.

  They are read, not imported: that would define all their flags at once.
  """
  found = {}
  for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
    module = ast.parse(path.read_text(encoding="utf-8"))
    tests = [ast.unparse(node.test) for node in module.body if isinstance(node, ast.If)]
    if "__name__ == '__main__'" in tests and path != pathlib.Path(__file__):
      found[path.stem] = ast.get_docstring(module).partition("\n")[0]
  return found


def main(argv: list[str]) -> None:
  """Prints them."""
  known = launchers()
  if argv:
    sys.exit(f"to run a launcher: python -m launch.NAME; known: {', '.join(known)}")
  width = max(map(len, known))
  for name, line in known.items():
    print(f"python -m launch.{name:{width}}  {line}")


if __name__ == "__main__":
  main(sys.argv[1:])
