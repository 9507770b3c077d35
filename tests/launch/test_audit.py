"""launch.audit as a process: killed and gone on with, and errors in one line."""

import json

import pytest
from launching import complaint
from stored_rows import read_rows
from tiny_tracks import MODEL, tiny_weights, write_bad_files, write_track

from lsaprobe_jax.models import checkpoints

SETTINGS = {
  "corpus.clips_per_track": 3,
  "distance": "log_mel",
  "search.continuation.rungs": 3,
  "search.continuation.steps": 1,
  "methods": ("loss", "lsa_probe"),
  "baselines.loss.draws": 2,
  "alpha": 0.2,
  "permutations": 99,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A model, 8 suspects and 14 reference tracks of one kind, and bad files."""
  root = tmp_path_factory.mktemp("audit")
  training = {"config": {"corpus": {"clip_seconds": 0.256}}}
  checkpoints.save_model(root / "model", tiny_weights(MODEL, 0), MODEL, training)
  for seed in range(22):
    side = "suspects" if seed < 8 else "reference"
    write_track(root / side / f"{seed:02d}.wav", seed)
  write_bad_files(root / "suspects")
  (root / "suspects" / "odd_rate.wav").unlink()
  return root


def flags(folder, workdir, *more, **changes):
  settings = SETTINGS | changes
  return [
    *(f"--{name}={folder / name}" for name in ("model", "suspects", "reference")),
    f"--workdir={workdir}",
    *(f"--config.{name}={value}" for name, value in settings.items()),
    *more,
  ]


def dossier(workdir):
  found = json.loads((workdir / "audit.json").read_text())
  found["run"].pop("environments")
  return found


@pytest.mark.slow
def test_a_killed_audit_ends_as_if_it_had_not_been(folder, launcher):
  undisturbed, workdir = folder / "undisturbed", folder / "killed"
  done = launcher.run("audit", *flags(folder, undisturbed))
  assert done.returncode == 0, done.stderr
  assert dossier(undisturbed)["verdict"] in done.stdout
  command = json.loads((undisturbed / "environment.json").read_text())[0]["command"]
  assert command.startswith("python -m launch.audit --model=")
  args = flags(folder, workdir)
  rows = workdir / "scores.jsonl"
  launcher.run_and_kill(lambda: len(read_rows(rows)) > 8, "audit", *args)
  assert not (workdir / "audit.json").exists()
  done = launcher.run("audit", *args)
  assert done.returncode == 0, done.stderr
  assert dossier(workdir) == dossier(undisturbed)
  for name in ("tracks.csv", "figures/tracks.png", "figures/curves.svg"):
    assert (workdir / name).read_bytes() == (undisturbed / name).read_bytes()


def test_a_dry_run_estimates_and_writes_nothing(folder, launcher):
  workdir = folder / "none"
  args = flags(folder, workdir, "--dry_run", methods="('loss',)")
  done = launcher.run("audit", *args)
  assert done.returncode == 0, done.stderr
  assert "size of the reference: holds" in done.stdout
  clips = 22 * 3
  assert f"loss: {clips} clips" in done.stdout
  assert "estimate: " in done.stdout
  assert " GiB on " in done.stdout
  assert not workdir.exists()


def test_without_a_verdict_it_ends_with_status_3(folder, launcher):
  workdir = folder / "refused"
  done = launcher.run("audit", *flags(folder, workdir, "--config.alpha=0.05"))
  assert done.returncode == 3, done.stderr
  assert "14 reference tracks; a verdict at 0.05 needs 29" in done.stdout
  assert "No verdict. A gate fails: size of the reference: add 15 more" in done.stdout
  assert "No verdict" in (workdir / "dossier.html").read_text()


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--model=nowhere", "error: --model: no model folder nowhere"),
    ("--suspects=nowhere", "error: --suspects: nowhere: no such folder"),
    ("--reference=pyproject.toml", "error: --reference: "),
    ("--held_back=x", "error: --reference and held_back: every track is compared"),
    ("--config.alpha=0.7", "error: --config.alpha=0.7: above 0"),
    ("--config.alpha=0.001", "error: --config.permutations=99: no p-value would be"),
    ("--workdir=pyproject.toml", "error: --workdir=pyproject.toml cannot be used"),
  ],
)
def test_what_cannot_be_used_is_one_line(folder, launcher, flag, message):
  done = launcher.run("audit", *flags(folder, folder / "none", flag))
  assert complaint(done).startswith(message)


def test_simulations_of_audits_are_commands_too(launcher):
  done = launcher.run("audit_null", "--audits=1", "--suspects=99")
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[2].startswith("A      7 unseen  39")
  done = launcher.run("audit_null", "--study=tests")
  assert "--study=tests: tests: has no main.jsonl" in complaint(done)
  done = launcher.run("audit_shift", "--shifts=nan")
  assert complaint(done) == "error: --shifts=[nan]: numbers from 0 to 10"
