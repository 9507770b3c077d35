"""benchmarks.kept: models are kept without their list of clips, and restored."""

import filecmp
import json
import shutil

import pytest

from lsaprobe_jax.models import checkpoints


def keep_one(trained, launcher, tmp_path):
  model, kept = trained / "snapshots" / "00012", tmp_path / "kept"
  done = launcher.run("benchmarks.kept", f"--keep={model}", f"--in={kept}")
  assert done.returncode == 0, done.stderr
  return model, kept


def restore(launcher, kept, output):
  return launcher.run("benchmarks.kept", f"--restore={kept}", f"--to={output}")


def test_a_model_that_was_kept_is_restored_to_the_byte(trained, launcher, tmp_path):
  model, kept = keep_one(trained, launcher, tmp_path)
  text = (kept / "model.json").read_text()
  clips = checkpoints.read_record(model)["training"]["clips"]
  assert clips
  assert not any(clip["sha256"] in text for clip in clips)
  done = restore(launcher, kept, tmp_path / "again")
  assert done.returncode == 0, done.stderr
  names = ["model.json", "weights.safetensors"]
  assert sorted(path.name for path in (tmp_path / "again").iterdir()) == names
  for name in names:
    assert filecmp.cmp(model / name, tmp_path / "again" / name, shallow=False)


def test_what_is_kept_is_no_model_that_has_seen_nothing(trained, launcher, tmp_path):
  _, kept = keep_one(trained, launcher, tmp_path)
  with pytest.raises(checkpoints.CheckpointError, match="training is no record of cl"):
    checkpoints.load_model(kept)


def test_another_corpus_and_a_changed_record_are_refused(trained, launcher, tmp_path):
  _, kept = keep_one(trained, launcher, tmp_path)
  for name, change, said in (
    ("other", {"groups": ["b"]}, "clips are not the"),
    ("changed", {"seed": 99}, "damaged"),
  ):
    folder = shutil.copytree(kept, tmp_path / name)
    record = json.loads((folder / "model.json").read_text())
    config = record["training"]["config"]
    (config["corpus"] if "groups" in change else config).update(change)
    (folder / "model.json").write_text(json.dumps(record, indent=1) + "\n")
    done = restore(launcher, folder, tmp_path / "out")
    assert done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
  model = tmp_path / "model"
  for flags, said in (
    ((f"--restore={model}", f"--to={tmp_path / 'out'}"), "nothing that --keep"),
    ((f"--restore={tmp_path / 'none'}", f"--to={tmp_path / 'out'}"), "No such file"),
    ((f"--keep={model}", f"--in={model}"), "there is a model in it"),
    ((f"--restore={kept}", f"--to={model}"), "there is a model in it"),
  ):
    shutil.copytree(trained / "snapshots" / "00012", model, dirs_exist_ok=True)
    done = launcher.run("benchmarks.kept", *flags)
    assert done.returncode
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fine_tune_whose_list_is_of_two_models_is_not_kept(
  trained, launcher, tmp_path
):
  model = shutil.copytree(trained / "snapshots" / "00012", tmp_path / "model")
  record = json.loads((model / "model.json").read_text())
  record["training"]["initial"] = "0" * 64
  (model / "model.json").write_text(json.dumps(record, indent=1) + "\n")
  done = launcher.run("benchmarks.kept", f"--keep={model}", f"--in={tmp_path / 'out'}")
  assert done.returncode
  assert "it could not be restored" in done.stderr
  assert not (tmp_path / "out").exists()


def test_one_way_at_a_time(launcher, tmp_path):
  for flags in ((), ("--keep=a",), ("--keep=a", "--in=b", "--restore=c", "--to=d")):
    done = launcher.run("benchmarks.kept", *flags)
    assert done.returncode
    assert "give --keep and --in" in done.stderr
