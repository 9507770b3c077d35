"""The console script: its commands on tiny models, and how it ends."""

import json
import pathlib
import re
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import tiny_experiment
import tiny_musicldm
from tiny_tracks import MODEL, tiny_weights, write_track

import lsaprobe_jax
from lsaprobe_jax import cli
from lsaprobe_jax.errors import out_of_memory
from lsaprobe_jax.models import checkpoints
from lsaprobe_jax.models.trained import load_model
from lsaprobe_jax.scoring.row_store import read_rows

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = ("audit", "probe", "convert", "eval")
QUICK = {
  "distance": "log_mel",
  "search.continuation.rungs": 3,
  "search.continuation.steps": 1,
  "baselines.loss.draws": 2,
}


@pytest.fixture(autouse=True)
def _devices_as_they_are(monkeypatch):
  """JAX has started in this process; `test_it_is_a_command` is without this."""
  monkeypatch.setattr(cli, "_use_devices", lambda: None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
  return tiny_experiment.write_corpus(tmp_path_factory.mktemp("corpus") / "tiny")


@pytest.fixture(scope="module")
def targets(tmp_path_factory, corpus):
  return tiny_experiment.save_models(tmp_path_factory.mktemp("models"), corpus)


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
  """A model whose record has no clips, and folders of suspects and reference tracks."""
  root = tmp_path_factory.mktemp("sides")
  training = {"config": {"corpus": {"clip_seconds": 0.256}}}
  checkpoints.save_model(root / "model", tiny_weights(MODEL, 0), MODEL, training)
  for seed in range(22):
    side = "reference" if seed % 3 else "suspects"
    write_track(root / side / f"{seed}.wav", seed)
  return {name: str(root / name) for name in ("model", "suspects", "reference")}


def sets(**changes) -> list[str]:
  named = QUICK | {name.replace("__", "."): value for name, value in changes.items()}
  return [f"--set={name}={value!r}" for name, value in named.items()]


def audit(sides, workdir, *more, **changes):
  given = [f"--{name}={value}" for name, value in sides.items()]
  quick = {"corpus__clips_per_track": 3, "methods": ("loss",), "permutations": 99}
  return cli.main(
    ["audit", *given, f"--workdir={workdir}", *sets(**quick | changes), *more]
  )


def refused(capsys, *args: str) -> str:
  """The one line with which a command line was refused."""
  try:
    status = cli.main(list(args))
  except SystemExit as ended:
    status = ended.code
  out, err = capsys.readouterr()
  assert status == 1
  assert out == ""
  assert err.startswith("error: ")
  assert err.count("\n") == 1
  return err


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_lists_commands_and_options(capsys, command):
  with pytest.raises(SystemExit) as ended:
    cli.main([*command, "--help"])
  assert ended.value.code == 0
  text = capsys.readouterr().out
  wanted = {"audit": "--suspects", "eval": "--target", "probe": "--audio"}
  wanted["convert"] = "--source"
  assert all(
    name in text for name in (map(wanted.get, command) if command else COMMANDS)
  )


def test_the_version_is_the_packages(capsys):
  with pytest.raises(SystemExit) as ended:
    cli.main(["--version"])
  assert ended.value.code == 0
  assert capsys.readouterr().out.strip() == lsaprobe_jax.__version__


def test_a_pipeline_is_converted_and_loads(tmp_path, capsys):
  pipeline = tiny_musicldm.save_pipeline(tmp_path / "pipeline")
  embedding = tmp_path / "prompt.npy"
  width = tiny_musicldm_width(pipeline)
  np.save(embedding, np.ones(width, np.float32))
  output = tmp_path / "model"
  args = [f"--source={pipeline}", f"--output={output}", f"--embedding={embedding}"]
  assert cli.main(["convert", *args]) == 0
  assert capsys.readouterr().out.strip() == f"wrote {output}"
  assert load_model(output).sample_rate > 0


def tiny_musicldm_width(pipeline: pathlib.Path) -> int:
  unet = json.loads((pipeline / "unet" / "config.json").read_text())
  return unet["projection_class_embeddings_input_dim"]


def test_a_clip_is_probed(targets, corpus, capsys):
  clip = next((corpus / "b").glob("*.wav"))
  args = [f"--model={targets['A']}", f"--audio={clip}", "--num_inference_steps=1"]
  args += ["--distance=waveform", "--seconds=0.256", "--start=0.5", "--eta_max=0.4"]
  assert cli.main(["probe", *args, "--tau=1e-9"]) == 0
  *curve, cost = capsys.readouterr().out.strip().splitlines()
  assert re.fullmatch(r"t = \d+, log-SNR -?\d+\.\d\d", curve[0])
  assert len(curve) == 17
  assert all(line.startswith("eta 0.") and "  D " in line for line in curve[1:])
  assert cost.startswith("C_adv 0.")
  assert cli.main(["probe", *args]) == 0
  assert capsys.readouterr().out.strip().splitlines() == curve


def test_any_search_can_be_chosen(tmp_path, corpus, targets, capsys):
  args = [f"--target={name}={targets[name]}" for name in "AB"]
  args += [f"--corpus={corpus}", f"--workdir={tmp_path / 'w'}", "--dry_run"]
  changes = {"search__name": "minimum_norm", "search__minimum_norm__steps": 2}
  assert cli.main(["eval", *args, *sets(corpus__clip_seconds=0.256, **changes)]) == 0
  assert "estimate: " in capsys.readouterr().out


def test_a_cross_over_is_evaluated(tmp_path, corpus, targets, capsys):
  given = [f"--target={name}={source}" for name, source in targets.items()]
  given += [f"--corpus={corpus}", f"--workdir={tmp_path / 'w'}", "--limit=2"]
  changes = {"corpus__clip_seconds": 0.256, "bootstrap_resamples": 20}
  given += ["--methods=loss", *sets(**changes)]
  assert cli.main(["eval", *given, "--dry_run"]) == 0
  assert capsys.readouterr().out
  assert not (tmp_path / "w").exists()
  assert cli.main(["eval", *given]) == 0
  assert "null control, the reference's own scores: " in capsys.readouterr().out
  assert "null control, loss" in (tmp_path / "w" / "tables.txt").read_text()
  rows = read_rows(tmp_path / "w" / "scores.jsonl")
  assert {row["method"] for row in rows} == {"loss", "blind"}
  assert {row["model"] for row in rows} == {"A", "B", "reference"}
  assert (tmp_path / "w" / "summary.json").exists()


def test_an_audit_ends_in_a_dossier(tmp_path, sides, capsys):
  assert audit(sides, tmp_path / "w", alpha=0.2) == 0
  out = capsys.readouterr().out
  found = json.loads((tmp_path / "w" / "audit.json").read_text())
  assert found["verdict"] in out
  assert (tmp_path / "w" / "dossier.html").exists()


def test_what_a_dossier_takes_is_asked_for_before_scoring(
  tmp_path, sides, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, "jinja2", None)
  assert audit(sides, tmp_path / "w", alpha=0.2) == 1
  assert "pip install 'lsaprobe_jax[audit]'" in capsys.readouterr().err
  assert not (tmp_path / "w").exists()


def test_an_audit_without_a_verdict_has_a_status_of_its_own(tmp_path, sides, capsys):
  assert audit(sides, tmp_path / "w", alpha=0.05) == cli.NO_VERDICT == 3
  assert "No verdict." in capsys.readouterr().out
  assert "No verdict." in (tmp_path / "w" / "dossier.html").read_text()


def test_a_dry_run_of_an_audit_writes_nothing(tmp_path, sides, capsys):
  assert audit(sides, tmp_path / "w", "--dry_run", alpha=0.2) == 0
  assert capsys.readouterr().out
  assert not (tmp_path / "w").exists()


PROBE = ("probe", "--model=diffwave-piano-a")
EVAL = ("eval", "--target=A=diffwave-multigenre-a", "--corpus=multigenre")
EVAL = (*EVAL, "--workdir=w")
AUDIT = ("audit", "--model=diffwave-piano-a", "--suspects=s", "--reference=r")
AUDIT = (*AUDIT, "--workdir=w")


@pytest.mark.parametrize(
  ("args", "message"),
  [
    ((), "arguments are required: COMMAND (lsaprobe --help lists the options)"),
    (("colour",), "invalid choice: 'colour'"),
    (PROBE, "required: --audio (lsaprobe probe --help lists the options)"),
    ((*PROBE, "--audio=none.wav"), "none.wav"),
    ((*PROBE, "--audio=a.wav", "--seconds=nan"), "--seconds: nan: from 0.001 to 14400"),
    ((*PROBE, "--audio=a.wav", "--seed=x"), "--seed: invalid whole number value: 'x'"),
    ((*PROBE, "--audio=a.wav", "--num_inference_steps=0"), "0: from 1 to 1000"),
    (("probe", "--model=nowhere", "--audio=a.wav"), "no model folder nowhere"),
    (("convert", "--source=none.pt", "--output=o"), "none.pt: no such file or folder"),
    ((*EVAL, "--target=B"), "error: --target=B: write NAME=MODEL, each name once"),
    ((*EVAL, "--target=A=x"), "error: --target=A=x: write NAME=MODEL, each name once"),
    ((*EVAL, "--set=t_ratio"), "error: --set=t_ratio: write NAME=VALUE"),
    ((*EVAL, "--set=seed={[1]: 2}"), "error: --set seed={[1]: 2}: "),
    ((*EVAL, "--set=colour=1"), "error: --set colour: there is no such setting"),
    ((*EVAL, "--set=search.eta_max=0"), "error: --set search.eta_max=0: above 0"),
    ((*EVAL, "--methods=shouting"), "error: --methods: 'shouting' is not one of "),
    ((*EVAL, "--set=baselines.los.draws=2"), "error: --set baselines.los: "),
    ((*EVAL, "--set=distance=ear"), "error: --set distance=ear: "),
    (AUDIT, "error: --suspects: s: no such folder"),
    (
      (*AUDIT[:2], "--suspects=~/s", "--workdir=w"),
      "error: --suspects: /home/me/s: no",
    ),
    ((*AUDIT, "--set=alpha=7"), "error: --set alpha=7: above 0"),
    ((*AUDIT, "--set=model=7"), "error: --set=model=...: give --model="),
  ],
)
def test_what_cannot_be_used_ends_in_one_line(
  tmp_path, monkeypatch, capsys, args, message
):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("HOME", "/home/me")
  assert message in refused(capsys, *args)
  assert list(tmp_path.iterdir()) == []


def test_audio_that_is_none_ends_in_one_line(tmp_path, targets, capsys):
  path = tmp_path / "corrupt.wav"
  path.write_bytes(b"RIFF this is no audio")
  args = (f"--model={targets['A']}", f"--audio={path}", "--num_inference_steps=1")
  assert f"{path}: " in refused(capsys, "probe", *args)
  write_track(path, 0)
  # It has two seconds.
  assert "samples are left" in refused(capsys, "probe", *args)
  line = refused(capsys, "probe", *args, "--seconds=1", "--t_ratio=2")
  assert line.startswith("error: --t_ratio")
  line = refused(capsys, "probe", *args, "--seconds=1", "--distance=ear")
  assert line.startswith("error: --distance")


def test_it_is_a_command(tmp_path, sides):
  """In a process of its own, where every core becomes a device."""
  args = [f"--{name}={value}" for name, value in sides.items()]
  args += [f"--workdir={tmp_path / 'w'}", *sets(alpha=0.05)]
  command = [sys.executable, "-m", "lsaprobe_jax.cli", "audit", *args]
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
  assert done.returncode == 3, done.stderr
  assert "No verdict." in done.stdout


@pytest.mark.parametrize(
  "error", [MemoryError(), RuntimeError("RESOURCE_EXHAUSTED: Out of memory")]
)
def test_too_little_memory_ends_in_one_line(monkeypatch, capsys, error):
  def run(_):
    raise error

  monkeypatch.setattr(cli, "_convert", run)
  assert cli.main(["convert", "--source=x", "--output=y"]) == 1
  assert capsys.readouterr().err.startswith("error: out of memory;")


def test_what_jax_cannot_allocate_is_out_of_memory():
  with pytest.raises(RuntimeError) as caught:
    jnp.zeros(1 << 50, jnp.uint8).block_until_ready()
  assert out_of_memory(caught.value)
  assert not out_of_memory(RuntimeError("INVALID_ARGUMENT"))
