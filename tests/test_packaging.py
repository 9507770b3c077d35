"""What is installed: few packages at the base, and one line that names the extra."""

import json
import pathlib
import pkgutil
import re
import runpy
import subprocess
import sys

import pytest
import setuptools

import lsaprobe_jax
from lsaprobe_jax import optional
from lsaprobe_jax.errors import LsaProbeError

ROOT = pathlib.Path(__file__).parents[1]
MOST = 12
# What an extra's distributions are imported as, where that is another name.
IMPORTED_AS = {
  "orbax-checkpoint": "orbax",
  "tensorflow-datasets": "tensorflow_datasets",
}
# Modules that stand for an extra, and cannot be imported without it.
OF_AN_EXTRA = {
  "report": (
    "lsaprobe_jax.report.figures",
    "lsaprobe_jax.report.html",
    "lsaprobe_jax.report.media",
  ),
  "datasets": (
    "lsaprobe_jax.data.build.tfds.building",
    "lsaprobe_jax.data.build.tfds.fma",
    "lsaprobe_jax.data.build.tfds.maestro",
  ),
}
IMPORT_ALL = """
import importlib, json, sys

class Blocked:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in BLOCKED:
      raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
failed = {}
for name in NAMES:
  try:
    importlib.import_module(name)
  except ImportError as error:
    failed[name] = str(error)
print(json.dumps(failed))
"""


@pytest.fixture(scope="module")
def packaging():
  """The arguments of `setup` in setup.py."""
  given = {}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setuptools, "find_packages", lambda **settings: settings)
    patch.setattr(setuptools, "setup", lambda **settings: given.update(settings))
    runpy.run_path(str(ROOT / "setup.py"))
  return given


def names(requirements):
  return {re.split(r"[<>=\[;]", requirement)[0] for requirement in requirements}


def test_the_base_install_is_small_and_the_wheel_is_the_package(packaging):
  base = names(packaging["install_requires"])
  assert len(base) <= MOST
  assert packaging["packages"] == {"include": ["lsaprobe_jax*"]}
  assert packaging["entry_points"] == {
    "console_scripts": ["lsaprobe = lsaprobe_jax.cli:main"]
  }
  for extra, requirements in packaging["extras_require"].items():
    assert not names(requirements) & base, extra


def test_every_module_is_imported_without_the_packages_of_extras(packaging):
  optional_ones = set().union(*map(names, packaging["extras_require"].values()))
  blocked = {IMPORTED_AS.get(name, name) for name in optional_ones}
  modules = pkgutil.walk_packages(lsaprobe_jax.__path__, "lsaprobe_jax.")
  found = ["lsaprobe_jax", *(module.name for module in modules)]
  code = f"BLOCKED, NAMES = {blocked!r}, {found!r}\n{IMPORT_ALL}"
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
  )
  failed = json.loads(done.stdout.splitlines()[-1])
  standing = {name for extra in OF_AN_EXTRA.values() for name in extra}
  assert {name: why for name, why in failed.items() if name not in standing} == {}


def test_extras_that_texts_name_are_there(packaging):
  extras = packaging["extras_require"].keys()
  for folder in ("lsaprobe_jax", "launch", "configs", "docs"):
    for path in (ROOT / folder).rglob("*"):
      if path.suffix in (".py", ".md"):
        text = path.read_text(encoding="utf-8")
        for named in re.findall(r"lsaprobe_jax\[([a-z,]+)\]", text):
          assert set(named.split(",")) <= extras, path


def test_a_missing_package_is_one_line_with_its_extra():
  with pytest.raises(LsaProbeError) as caught:
    optional.require("no_such_package", "audio")
  assert str(caught.value) == (
    "no_such_package is not installed; pip install 'lsaprobe_jax[audio]'"
  )
  assert optional.require("json.decoder", "audio").JSONDecoder


def test_a_package_that_is_broken_says_why(tmp_path, monkeypatch):
  (tmp_path / "broken_package.py").write_text("import no_such_package_either\n")
  monkeypatch.syspath_prepend(tmp_path)
  line = r"^broken_package cannot be imported \(No module named 'no_such_package_either"
  with pytest.raises(optional.MissingPackageError, match=line):
    optional.require("broken_package", "report")
