"""benchmarks.dose_card: the card of fine-tunes, by their records and logs."""

import shutil

from configs import train_dose
from lsaprobe_jax.models import checkpoints


def test_the_card_has_the_losses_of_every_snapshot(trained, launcher, tmp_path):
  for name in ("base", "a", "b-piano", "b-1-piano"):
    shutil.copytree(trained, tmp_path / "train" / f"dose-diffwave-{name}")
  logs, output = tmp_path / "logs", tmp_path / "card.md"
  flags = (f"--logs={logs}", f"--output={output}", "--family=diffwave")
  done = launcher.run("benchmarks.dose_card", f"--train={tmp_path / 'train'}", *flags)
  assert done.returncode == 0, done.stderr
  log = (logs / "dose-diffwave-a.jsonl").read_bytes()
  assert log == (trained / "losses.jsonl").read_bytes()
  text = output.read_text()
  for what in ("a", "b,0,piano", "b,1,piano"):
    assert f"--config=configs/train_dose.py:diffwave,{what} " in text
    train_dose.get_config(f"diffwave,{what}")
  cells = [line.strip("| ").split(" | ") for line in text.splitlines()]
  for epoch in (12, 24):
    folder = trained / "snapshots" / f"{epoch:05d}"
    training = checkpoints.load_model(folder)[1]["training"]
    for group, losses in training["eval_loss"].items():
      own = [c for c in cells if c[:2] == ["a", str(epoch)] and c[2].startswith(group)]
      assert [c[3:] for c in own] == [[f"{loss:.4f}" for loss in losses]]
  assert any(c[:2] == ["base", "0"] for c in cells)


def test_a_training_that_goes_on_is_shown_by_its_last_snapshot(
  trained, launcher, tmp_path
):
  for name in ("base", "a"):
    shutil.copytree(trained, tmp_path / "train" / f"dose-diffwave-{name}")
  tuned = tmp_path / "train" / "dose-diffwave-a"
  shutil.rmtree(tuned / "model")
  shutil.rmtree(tuned / "snapshots" / "00024")
  output = tmp_path / "card.md"
  flags = (f"--logs={tmp_path / 'logs'}", f"--output={output}", "--family=diffwave")
  done = launcher.run("benchmarks.dose_card", f"--train={tmp_path / 'train'}", *flags)
  assert done.returncode == 0, done.stderr
  text = output.read_text()
  assert "kept after 1 to 12 passes" in text
  assert "on group `a` for 12 passes" in text


def test_a_folder_without_a_base_is_refused(launcher, tmp_path):
  flags = (f"--train={tmp_path}", f"--logs={tmp_path}", f"--output={tmp_path / 'x'}")
  done = launcher.run("benchmarks.dose_card", *flags)
  assert done.returncode
  assert "no dose-musicldm-base that is whole" in done.stderr
  assert not (tmp_path / "x").exists()
