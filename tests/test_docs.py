"""The documentation's pages against the package; links are checked by mkdocs."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]


def test_the_reference_has_every_public_module_once():
  pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
  listed = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
  assert len(set(listed)) == len(listed)
  modules = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "lsaprobe_jax").rglob("*.py")
    if path.name == "__init__.py" or not path.name.startswith("_")
  }
  assert set(listed) <= modules
  # Packages that hold nothing but their modules need no entry.
  empty = {"", ".data", ".evaluation", ".models", ".report"}
  assert modules - set(listed) == {f"lsaprobe_jax{name}" for name in empty}
