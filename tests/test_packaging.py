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
  "datasets": (
    "lsaprobe_jax.data.build.tfds.building",
    "lsaprobe_jax.data.build.tfds.fma",
    "lsaprobe_jax.data.build.tfds.maestro",
  ),
}
BLOCK = """
import importlib, json, sys

class Blocked:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in BLOCKED:
      raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
IMPORT_ALL = """
failed = {}
for name in NAMES:
  try:
    importlib.import_module(name)
  except Exception as error:
    failed[name] = str(error)
print(json.dumps(failed))
"""


# The first lines of the README on an embedded model, and an error that names an extra.
PROBE = """
import jax
import jax.numpy as jnp
import lsaprobe_jax as lsa
from lsaprobe_jax import diffusion, probe
from lsaprobe_jax.errors import LsaProbeError

model = lsa.load_model("diffwave-piano-a")
clips = lsa.load_audio(
  "piano", like=model, clip_seconds=0.256, clips_per_track=1, groups=["a"]
)
distance = lsa.distances.get("waveform", sample_rate=clips.sample_rate)
t = diffusion.timestep(model.model.schedule, 0.1)
degradation, shape = probe.make_degradation(
  model.for_length(clips.audio.shape[1]).model,
  distance, jax.random.key(0), clips.audio[0], t,
)
from lsaprobe_jax.data import fingerprints
try:
  fingerprints.fingerprint(clips.audio[0], clips.sample_rate)
except LsaProbeError as error:
  print(json.dumps([float(degradation(jnp.ones(shape))), str(error)]))
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


@pytest.fixture(scope="module")
def at_the_base(packaging):
  """`at_the_base(code, **values)`: what code prints last with no extra installed."""
  optional_ones = set().union(*map(names, packaging["extras_require"].values()))
  blocked = {IMPORTED_AS.get(name, name) for name in optional_ones}

  def run(code, **values):
    values = {"BLOCKED": blocked, **values}
    given = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    command = [sys.executable, "-c", f"{given}\n{BLOCK}\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])

  return run


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


def test_every_module_is_imported_without_the_packages_of_extras(at_the_base):
  modules = pkgutil.walk_packages(lsaprobe_jax.__path__, "lsaprobe_jax.")
  found = ["lsaprobe_jax", *(module.name for module in modules)]
  failed = at_the_base(IMPORT_ALL, NAMES=found)
  standing = {name for extra in OF_AN_EXTRA.values() for name in extra}
  assert {name: why for name, why in failed.items() if name not in standing} == {}


def test_an_embedded_model_is_probed_without_the_packages_of_extras(at_the_base):
  degradation, message = at_the_base(PROBE)
  assert degradation > 0
  assert message == "librosa is not installed; pip install 'lsaprobe_jax[audio]'"


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
