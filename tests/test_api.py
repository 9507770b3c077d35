"""The public names: there, explained, and imported only where they are used."""

import inspect
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import tiny_experiment
from tiny_tracks import MODEL, RATE, tiny_weights, write_track

import lsaprobe_jax as lsa
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.models import checkpoints

ROOT = pathlib.Path(__file__).parents[1]
# What the package takes in, at most: a bare interpreter takes a fifth of it.
MAX_SECONDS = 0.5
HEAVY = ("jax", "numpy", "scipy", "flax", "optax", "absl", "soundfile", "sklearn")


def run(code: str) -> str:
  """What an interpreter of its own prints."""
  command = [sys.executable, "-c", code]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  return done.stdout.strip()


@pytest.mark.parametrize("name", lsa.__all__)
def test_every_public_name_is_there_and_explained(name):
  found = getattr(lsa, name)
  if name == "__version__":
    assert re.fullmatch(r"\d+\.\d+\.\d+", found)
    return
  text = inspect.getdoc(found)
  assert text
  # The first line begins a sentence, and the first paragraph ends one.
  assert text[0].isupper() or text[0] == "`"
  assert text.split("\n\n")[0].rstrip().endswith((".", "?"))


def test_dir_lists_the_public_names():
  assert dir(lsa) == sorted(lsa.__all__)
  assert set(lsa._PUBLIC) | {"__version__"} == set(lsa.__all__)
  assert "load_model" in run("import lsaprobe_jax as lsa; print(dir(lsa))")


def test_another_name_is_no_attribute():
  with pytest.raises(AttributeError, match="has no attribute 'probee'"):
    lsa.probee  # noqa: B018


def test_errors_are_of_one_class():
  errors = [name for name in lsa.__all__ if name.endswith("Error")]
  assert len(errors) > 4
  assert all(issubclass(getattr(lsa, name), lsa.LsaProbeError) for name in errors)
  assert issubclass(lsa.LsaProbeError, ValueError)


def test_importing_the_package_imports_nothing_heavy_and_takes_no_time():
  code = (
    "import sys, time; start = time.process_time(); import lsaprobe_jax;"
    "print(time.process_time() - start);"
    f"print([name for name in {HEAVY} if name in sys.modules])"
  )
  seconds, loaded = run(code).splitlines()
  assert float(seconds) < MAX_SECONDS
  assert loaded == "[]"


def test_importing_the_console_script_imports_nothing_heavy():
  code = (
    f"import sys, lsaprobe_jax.cli; print([n for n in {HEAVY} if n in sys.modules])"
  )
  assert run(code) == "[]"


@pytest.mark.parametrize(
  ("code", "heavy"),
  [
    # What only some commands need stays away from the others.
    ("lsa.metrics", ("jax", "matplotlib", "jinja2", "librosa")),
    ("lsa.load_model", ("matplotlib", "jinja2", "librosa", "orbax", "sklearn")),
    ("lsa.score", ("matplotlib", "jinja2", "librosa", "orbax", "tensorflow_datasets")),
    ("lsa.load_audio", ("tensorflow_datasets", "mido", "music21", "matplotlib")),
    ("lsa.audit", ("orbax", "tensorflow_datasets", "matplotlib", "jinja2")),
  ],
)
def test_what_a_name_does_not_need_is_not_imported(code, heavy):
  found = run(
    f"import sys, lsaprobe_jax as lsa; {code};"
    f"print([name for name in {heavy} if name in sys.modules])"
  )
  assert found == "[]"


@pytest.mark.parametrize(
  "first", ["lsaprobe_jax.audit.settings", "lsaprobe_jax.audit", "lsaprobe_jax.cli"]
)
def test_an_audit_is_called_whatever_was_imported_first(first):
  code = f"import {first}; import lsaprobe_jax as lsa; print(callable(lsa.audit))"
  assert run(code) == "True"


def lines_of_the_readme() -> str:
  """The first block of Python in README.md."""
  text = (ROOT / "README.md").read_text()
  return re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
  """With a tiny model and corpus in the place of the embedded ones."""
  monkeypatch.chdir(tmp_path)
  tracks = {"a": ["a0", "a1", "a2"], "b": ["b0", "b1", "b2"]}
  tracks["dev"] = [f"dev{i}" for i in range(7)]
  tiny_experiment.write_corpus(pathlib.Path("corpus"), tracks)
  save_model("model", "corpus")
  for seed in range(36):
    # The smallest reference that an audit at 5% has enough of, and some suspects.
    folder = "my_album" if seed % 6 == 0 else "unreleased"
    write_track(pathlib.Path(folder, f"track{seed}.wav"), 100 + seed)
  code = lines_of_the_readme()
  for name, tiny in (("diffwave-multigenre-a", "model"), ("multigenre", "corpus")):
    assert f'"{name}"' in code
    code = code.replace(f'"{name}"', f'"{tiny}"')
  found = {}
  exec(compile(code, "README.md", "exec"), found)
  assert found["scores"].cost.shape == (6,)
  assert 0 < found["result"].p_value <= 1
  assert found["result"].verdict in capsys.readouterr().out
  assert (tmp_path / "dossier" / "dossier.html").exists()


def save_model(folder: str, corpus: str) -> None:
  """A model folder that says it was trained on group a, in clips of half a second."""
  clips = corpora.open_corpus(
    corpus, sample_rate=RATE, clip_seconds=0.512, clips_per_track=1, groups=["a"]
  )
  seen = [{"id": clip.id, "sha256": clip.sha256} for clip in clips.clips]
  config = {"corpus": {"clip_seconds": 0.512}}
  record = {"group": "a", "clips": seen, "config": config}
  checkpoints.save_model(pathlib.Path(folder), tiny_weights(MODEL, 0), MODEL, record)


@pytest.mark.slow
def test_the_lines_of_the_readme_run_as_they_stand(tmp_path):
  shipped = sorted((ROOT / "lsaprobe_jax/data/shipped/multigenre").glob("*.ogg"))
  for folder, own in (("my_album", shipped[:4]), ("unreleased", shipped[4:10])):
    (tmp_path / folder).mkdir()
    for path in own:
      shutil.copy(path, tmp_path / folder)
  # In programs compiled as users compile them, which run four times as fast as those of
  # conftest.py.
  env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
  done = subprocess.run(
    [sys.executable, "-c", lines_of_the_readme() + "print(len(scores), 'scores')"],
    cwd=tmp_path, env=env | {"PYTHONPATH": str(ROOT)},
    capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert int(re.search(r"(\d+) scores", done.stdout)[1]) > 60
  # A reference of six tracks is too small, which the verdict says.
  assert "No verdict" in done.stdout
  assert (tmp_path / "dossier" / "dossier.html").exists()
