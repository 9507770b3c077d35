"""The documentation's pages against the package; links are checked by mkdocs."""

import pathlib
import re

import lsaprobe_jax

ROOT = pathlib.Path(__file__).parents[1]
API = ROOT / "docs" / "api"


def test_the_reference_has_every_module_once():
  pages = "\n".join(path.read_text() for path in API.glob("*.md"))
  listed = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
  assert len(set(listed)) == len(listed)
  files = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
      ".__init__"
    ): path
    for path in (ROOT / "lsaprobe_jax").rglob("*.py")
    if path.name == "__init__.py" or not path.name.startswith("_")
  }
  assert set(listed) <= set(files)
  # Packages that hold nothing but their modules need no entry; the page of public names
  # is that of the package itself.
  for name in set(files) - set(listed):
    assert files[name].name == "__init__.py", name
    assert "def " not in files[name].read_text() or name == "lsaprobe_jax"


def test_the_reference_opens_with_the_public_names():
  page = (API / "index.md").read_text()
  named = dict(re.findall(r"^\| \[`(\w+)`\][\[(]([\w.]+)[\])] \|", page, re.MULTILINE))
  assert set(named) == set(lsaprobe_jax.__all__) - {"__version__"}
  for name, place in named.items():
    if place.endswith(".md"):
      assert (API / place).exists()
      continue
    module, _, own = place.rpartition(".")
    found = getattr(lsaprobe_jax, name)
    assert own == name
    # A package that is called as the function, where it was imported first.
    found = getattr(found, "audit", found)
    assert module == found.__module__


def test_every_page_of_the_reference_is_in_the_navigation():
  text = (ROOT / "mkdocs.yml").read_text()
  assert set(re.findall(r"api/(\w+)\.md", text)) == {
    path.stem for path in API.glob("*")
  }
