"""launch.audit on a tiny model: dossier, resume, refusals, bad inputs."""

import csv
import dataclasses
import html
import json
import pathlib
import re
import shutil
import types

import numpy as np
import pytest
import soundfile
from absl import app
from launching import (
  MODEL,
  complaint,
  read_rows,
  tiny_weights,
  write_bad_files,
  write_track,
)

from configs import audit as audit_config
from launch import audit_shift, common
from lsaprobe_jax.audit import gates as audit_gates
from lsaprobe_jax.audit import procedure, statistics
from lsaprobe_jax.data import albums
from lsaprobe_jax.data import corpus as corpora
from lsaprobe_jax.data.clips import Clip
from lsaprobe_jax.metrics import pivot
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
# What a page must show and not run.
UGLY = "<script>alert(1)</script>".replace("/", "_") + " & =1.wav"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Models, 8 suspects and 14 reference tracks of one kind, and bad files."""
  root = tmp_path_factory.mktemp("audit")
  training = {"config": {"corpus": {"clip_seconds": 0.256}}}
  for seed, name in enumerate(("model", "other")):
    checkpoints.save_model(root / name, tiny_weights(MODEL, seed), MODEL, training)
  for seed in range(22):
    side = "suspects" if seed < 8 else "reference"
    write_track(root / side / f"{seed:02d}.wav", seed)
  (root / "suspects" / "07.wav").rename(root / "suspects" / UGLY)
  write_bad_files(root / "suspects")
  (root / "suspects" / "odd_rate.wav").unlink()
  return root


def flags(folder, workdir, *more):
  return [
    *(f"--{name}={folder / name}" for name in ("model", "suspects", "reference")),
    f"--reference_model={folder / 'other'}",
    f"--workdir={workdir}",
    *(f"--config.{name}={value}" for name, value in SETTINGS.items()),
    *more,
  ]


@pytest.fixture(scope="module")
def finished(folder, launcher):
  """(working folder, process) of an audit that nothing disturbed."""
  workdir = folder / "undisturbed"
  return workdir, launcher.run("audit", *flags(folder, workdir))


def dossier(workdir):
  found = json.loads((workdir / "audit.json").read_text())
  found["run"].pop("environments")
  return found


def test_a_dossier_is_written(finished, folder):
  workdir, done = finished
  assert done.returncode == 0, done.stderr
  found = dossier(workdir)
  assert found["verdict"] in done.stdout
  audit_gates = {gate["name"]: gate["holds"] for gate in found["gates"]}
  unknown = (
    "reference not in the model's own record",
    "neither side in the reference model's own record",
    "albums",
  )
  assert [audit_gates.pop(name) for name in unknown] == [None] * 3
  assert set(audit_gates.values()) == {True}
  assert {
    "blind baseline",
    "null control",
    "size of the reference",
  } <= audit_gates.keys()
  assert found["methods"] == ["loss - reference", "lsa_probe - reference"]
  judged = found["found"]
  assert len(judged["tracks"]) == 8
  assert judged["evidence"] == (judged["p_value"] <= 0.2)
  assert judged["sets"]["panel"]["reference_tracks"] == 7 - 3
  # The bad files are named, and do not end the run.
  notes = " ".join(found["notes"])
  assert all(name in notes for name in ("corrupt.wav", "silent.wav", "short.wav"))
  lines = list(csv.DictReader((workdir / "tracks.csv").open()))
  assert len(lines) == 22
  assert sum(line["verdict"] != "" for line in lines) == 8
  assert {"side", "sha256", "p panel", "score loss - reference"} <= lines[0].keys()
  command = json.loads((workdir / "environment.json").read_text())[0]["command"]
  assert command.startswith("python -m launch.audit --model=")


def test_the_page_is_escaped_and_runs_nothing(finished):
  page = (finished[0] / "dossier.html").read_text()
  assert "&lt;script&gt;alert(1)" in page
  assert "<script" not in page
  assert "script-src 'none'" in html.unescape(page)
  assert page.count("data:image/png;base64,") == 2
  assert dossier(finished[0])["verdict"] in page


def test_a_killed_audit_ends_as_if_it_had_not_been(finished, folder, launcher):
  workdir = folder / "killed"
  args = flags(folder, workdir)
  rows = workdir / "scores.jsonl"
  launcher.run_and_kill(lambda: len(read_rows(rows)) > 8, "audit", *args)
  assert not (workdir / "audit.json").exists()
  done = launcher.run("audit", *args)
  assert done.returncode == 0, done.stderr
  assert dossier(workdir) == dossier(finished[0])
  for name in ("tracks.csv", "figures/tracks.png", "figures/curves.svg"):
    assert (workdir / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_dry_run_estimates_and_writes_nothing(folder, launcher):
  workdir = folder / "none"
  more = ("--dry_run", "--config.methods=('loss',)")
  done = launcher.run("audit", *flags(folder, workdir, *more))
  assert done.returncode == 0, done.stderr
  assert "size of the reference: holds" in done.stdout
  clips = 2 * 22 * 3
  assert f"loss: {clips} clips" in done.stdout
  assert "estimate: " in done.stdout
  assert " GiB on " in done.stdout
  assert not workdir.exists()


def test_a_reference_too_small_is_refused_before_scoring(folder, launcher):
  workdir = folder / "refused"
  done = launcher.run("audit", *flags(folder, workdir, "--config.alpha=0.05"))
  assert done.returncode == 3, done.stderr
  assert "14 reference tracks; a verdict at 0.05 needs 29" in done.stdout
  assert "No verdict. A gate fails: size of the reference: add 15 more" in done.stdout
  assert "No verdict" in (workdir / "dossier.html").read_text()
  assert dossier(workdir)["found"] is None
  assert not (workdir / "scores.jsonl").exists()
  # It does not lock the folder, but does not overwrite another audit's either.
  procedure.prepare_refusal(workdir)
  (workdir / "run.json").touch()
  with pytest.raises(app.UsageError, match="another audit"):
    procedure.prepare_refusal(workdir)
  (workdir / "run.json").rename(workdir / "scores.jsonl")
  with pytest.raises(app.UsageError, match="another audit"):
    procedure.prepare_refusal(workdir)


def settings(folder, **changes):
  config = audit_config.get_config()
  config.targets.model = str(folder / "model")
  config.update_from_flattened_dict(SETTINGS | changes)
  return config


def gates(inputs):
  return {gate.name: gate for gate in inputs.gates}


def test_a_recording_on_both_sides_is_refused(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  samples, rate = soundfile.read(folder / "suspects" / "01.wav")
  soundfile.write(tmp_path / "reference" / "copy.flac", 0.5 * samples, rate)
  shutil.copy(tmp_path / "reference" / "10.wav", tmp_path / "reference" / "twin.wav")
  paths = str(folder / "suspects"), str(tmp_path / "reference")
  inputs = procedure.read(settings(folder), *paths)
  gate = gates(inputs)["no recording on both sides"]
  assert inputs.refused
  assert gate.text == ("1 found: suspect-01 and reference-copy (by fingerprint)")
  assert "take each off one side" in gate.mend
  # Within a side one is enough.
  assert any("reference-twin holds the same recording" in note for note in inputs.notes)
  assert "reference-twin" not in inputs.comparison.tracks + inputs.calibration.tracks


def test_one_file_is_a_suspect(folder):
  paths = str(folder / "suspects" / "03.wav"), str(folder / "reference")
  inputs = procedure.read(settings(folder), *paths)
  assert inputs.suspects.tracks == ("suspect-03",)
  assert len(inputs.suspects) == 3
  assert "differ over 96 acoustic features" in gates(inputs)["blind baseline"].text
  assert not set(inputs.comparison.tracks) & set(inputs.calibration.tracks)


def test_sides_that_sound_unlike_are_refused(folder, tmp_path):
  for path in sorted((folder / "reference").iterdir()):
    samples, rate = soundfile.read(path)
    soundfile.write(tmp_path / path.name, np.cumsum(samples) * 0.01, rate, "FLOAT")
  inputs = procedure.read(settings(folder), str(folder / "suspects"), str(tmp_path))
  gate = gates(inputs)["blind baseline"]
  assert gate.holds is False
  assert "codec" in gate.mend


def test_a_reference_that_the_model_records_is_refused(folder, tmp_path):
  paths = str(folder / "suspects"), str(folder / "reference")
  clean = procedure.read(settings(folder), *paths)
  seen = [
    {"id": clip.id, "sha256": clip.sha256}
    for clip in (*clean.suspects.clips[:5], *clean.comparison.clips[:2])
  ]
  training = {"group": "a", "clips": seen, "config": {}}
  checkpoints.save_model(tmp_path / "m", tiny_weights(MODEL, 0), MODEL, training)
  config = settings(folder, **{"corpus.clip_seconds": 0.256})
  config.targets.model = str(tmp_path / "m")
  inputs = procedure.read(config, *paths)
  gate = gates(inputs)["reference not in the model's own record"]
  assert gate.holds is False
  tracks = len({clip.track for clip in clean.comparison.clips[:2]})
  assert gate.text.startswith(f"{tracks} of 14 reference tracks are recorded")
  assert clean.comparison.clips[0].track in gate.text
  own = {clip.track for clip in clean.suspects.clips[:5]}
  assert any(f"holds {len(own)} of 8 suspects" in note for note in inputs.notes)


def recorded_as(folder, clips):
  """A model folder whose record holds clips (id, hash of the samples)."""
  seen = [{"id": name, "sha256": sha256} for name, sha256 in clips]
  training = {"group": "a", "clips": seen, "config": {}}
  checkpoints.save_model(folder, tiny_weights(MODEL, 1), MODEL, training)
  return str(folder)


@pytest.mark.parametrize("side", ["suspects", "comparison", "calibration"])
def test_a_reference_model_that_was_trained_on_a_side_is_refused(
  folder, tmp_path, side
):
  """From stored rows this made evidence out of nothing: p = 0.001 for 0.60."""
  paths = str(folder / "suspects"), str(folder / "reference")
  config = settings(folder, **{"corpus.clip_seconds": 0.256})
  clip = getattr(procedure.read(config, *paths), side).clips[0]
  seen = [("other@0+256", clip.sha256)]
  config.targets.reference = recorded_as(tmp_path / "m", seen)
  inputs = procedure.read(config, *paths)
  gate = gates(inputs)["neither side in the reference model's own record"]
  assert inputs.refused
  assert clip.track in gate.text
  assert "1 by their samples" in gate.text
  assert "another reference model" in gate.mend


def test_a_track_cut_elsewhere_is_known_by_its_name(folder, tmp_path):
  paths = str(folder / "suspects"), str(folder / "reference")
  config = settings(folder, **{"corpus.clip_seconds": 0.256})
  seen = [("10@0000100+256", "0" * 64), ("elsewhere@0000100+256", "1" * 64)]
  config.targets.reference = recorded_as(tmp_path / "m", seen)
  gate = gates(procedure.read(config, *paths))[
    "neither side in the reference model's own record"
  ]
  assert gate.holds is False
  assert "1 of 14 reference tracks are recorded as trained on (0 by their" in gate.text
  assert "reference-10" in gate.text
  assert "rename other music" in gate.mend


def test_embedded_models_that_saw_the_other_half_are_no_reference_models():
  config = audit_config.get_config()
  config.targets.model = "diffwave-multigenre-a"
  config.targets.reference = "diffwave-multigenre-b"
  targets, _ = common.load_targets(config)
  b = corpora.open_corpus(
    "multigenre", sample_rate=8000, clip_seconds=0.512, clips_per_track=1, groups=["b"]
  )
  named = [dataclasses.replace(c, track=f"reference-{c.track}") for c in b.clips]
  sides = {"reference": dataclasses.replace(b, clips=tuple(named))}
  found = {
    target.name: audit_gates.not_recorded(target, sides, "record") for target in targets
  }
  assert found["model"].holds
  assert found["reference"].holds is False
  assert "36 of 36 reference tracks" in found["reference"].text


def albums_of(folder, tmp_path, name):
  """The reference in folders of two tracks, suspects tagged as one album."""
  for i, path in enumerate(sorted((folder / "reference").iterdir())):
    target = tmp_path / "reference" / f"album {i // 2}" / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)
  (tmp_path / "suspects").mkdir()
  for path in sorted((folder / "suspects").glob("0?.wav")):
    samples, rate = soundfile.read(path)
    target = tmp_path / "suspects" / f"{path.stem}.flac"
    with soundfile.SoundFile(target, "w", rate, 1) as file:
      file.album = name
      file.write(samples)
  return str(tmp_path / "suspects"), str(tmp_path / "reference")


def test_whole_albums_are_exchanged_where_they_are_known(folder, tmp_path):
  paths = albums_of(folder, tmp_path, "Theirs")
  inputs = procedure.read(settings(folder), *paths)
  assert {inputs.albums[track] for track in inputs.suspects.tracks} == {": Theirs"}
  named = {track: album for track, album in inputs.albums.items() if "-10" in track}
  assert set(named.values()) == {"reference/album 1"}
  gate = gates(inputs)["albums"]
  # One album against those of which some track is compared.
  others = len({inputs.albums[track] for track in inputs.comparison.tracks})
  assert f"{others + 1} ways to exchange suspects and reference" in gate.text
  assert gate.holds == (1 / (others + 1) <= 0.2)
  refused = procedure.read(settings(folder, alpha=0.1), *paths)
  assert gates(refused)["albums"].holds is False
  assert "--config.albums=tracks" in gates(refused)["albums"].mend
  asked = procedure.read(settings(folder, albums="tracks"), *paths)
  assert asked.albums is None
  assert gates(asked)["albums"].holds is None


def tagged(path, seed, **tags):
  samples, rate = np.random.default_rng(seed).normal(size=4000) * 0.1, 8000
  path.parent.mkdir(parents=True, exist_ok=True)
  with soundfile.SoundFile(path, "w", rate, 1) as file:
    for name, value in tags.items():
      setattr(file, name, value)
    file.write(samples)


def test_what_names_no_album_is_none(tmp_path):
  tagged(tmp_path / "CD1" / "x.flac", 0)
  tagged(tmp_path / "Songs" / "disc 2" / "y.flac", 1)
  tagged(tmp_path / "Live" / "CD1" / "z.flac", 2)
  tagged(tmp_path / "b" / "mine.flac", 3, album="Unknown Album", artist="N")
  tagged(tmp_path / "one.flac", 4, album="Greatest Hits", artist="N")
  tagged(tmp_path / "two.flac", 5, album="Greatest Hits", artist="M")
  found = {track.split("-")[-1]: a for track, a in albums.of_tracks(tmp_path).items()}
  assert found == {"z": "/Live", "one": "N: Greatest Hits", "two": "M: Greatest Hits"}


def test_one_tagged_track_leaves_the_others_independent_and_says_so(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  tagged(tmp_path / "reference" / "10.flac", 0, album="X", artist="N")
  paths = str(folder / "suspects"), str(tmp_path / "reference")
  inputs = procedure.read(settings(folder), *paths)
  assert len(inputs.albums) == 1
  text = gates(inputs)["albums"].text
  assert re.search(r"the album of [01] of \d+ tracks is known", text)
  assert text.endswith("Tracks of no known album are taken for independent")
  names = sorted(inputs.suspects.tracks), sorted(inputs.comparison.tracks)
  parts = {
    "suspects": {"loss": {name: 1.0 * i for i, name in enumerate(names[0])}},
    "comparison": {"loss": {name: 1.0 * i for i, name in enumerate(names[1])}},
    "calibration": {"loss": {"x": 0.0, "y": 1.0}},
  }
  scores = statistics.Scores(**parts).with_panel()
  found = statistics.judge(scores, alpha=0.2, permutations=99, albums=inputs.albums)
  assert not found["by_album"]


def test_a_calibration_track_cannot_keep_the_blind_gate_from_failing(folder, tmp_path):
  """One tag on it once left the gate nine ways, and white noise became evidence."""
  (tmp_path / "suspects").mkdir()
  for i in range(8):
    tagged(tmp_path / "suspects" / f"{i}.flac", i, album="X", artist="N")
    noise = np.random.default_rng(i).uniform(-1, 1, 16000)
    with soundfile.SoundFile(tmp_path / "suspects" / f"{i}.flac", "w", 8000, 1) as file:
      file.artist, file.album = "N", "X"
      file.write(noise)
  time = np.arange(16000) / 8000
  for i in range(34):
    tone = 0.05 * np.sin(2 * np.pi * (150 + 17 * i) * time)
    path = tmp_path / "reference" / f"album {i}" / f"{i}.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, tone, 8000)
  config = settings(folder, alpha=0.05)
  plain = procedure.read(
    config, str(tmp_path / "suspects"), str(tmp_path / "reference")
  )
  assert gates(plain)["blind baseline"].holds is False
  number = int(plain.calibration.tracks[0].rpartition("-")[2])
  path = tmp_path / "reference" / f"album {number}" / f"{number}.flac"
  samples, rate = soundfile.read(path)
  with soundfile.SoundFile(path, "w", rate, 1) as file:
    file.artist, file.album = "N", "X"
    file.write(samples)
  again = procedure.read(
    config, str(tmp_path / "suspects"), str(tmp_path / "reference")
  )
  assert gates(again)["blind baseline"].holds is False


@pytest.mark.parametrize("comparison", [19, 30, 39])
def test_the_null_control_can_fail_for_one_suspect(comparison):
  clips = [clip("s0", "a")] + [clip(f"b{i:02d}", "b") for i in range(comparison)]
  clips = tuple(clips + [clip(f"d{i:02d}", "dev") for i in range(12)])
  rows = score_rows(clips, "loss") + score_rows(clips, "loss", calibrated="reference")
  rows += score_rows(clips, "loss", model=pivot.REFERENCE)
  rows[-len(clips)]["score"] = 1e9
  config = audit_config.get_config()
  scores, _ = statistics.tabulate(rows, clips)
  _, control = audit_gates.of_scores(config, scores, rows, clips)
  assert control.holds is False


def test_a_gate_that_cannot_fail_does_not_hold():
  design = statistics.exchange(["s"], [f"c{i}" for i in range(9)])
  gate = audit_gates._cannot_fail("x", design, 0.05)
  assert gate.holds is None
  assert "10 ways only" in gate.text
  assert audit_gates._cannot_fail("x", design, 0.1) is None


def test_the_audited_model_is_no_reference_model(folder):
  config = settings(folder)
  config.targets.reference = str(folder / "model")
  with pytest.raises(app.UsageError, match="has the weights of --model"):
    procedure.read(config, str(folder / "suspects"), str(folder / "reference"))


def test_albums_of_a_built_corpus_are_its_packages():
  found = albums.of_tracks("multigenre")
  assert len(found) == 88
  assert found["ufoai-David01"] == "ufoai-music"


def test_all_tracks_have_the_same_number_of_clips(folder, tmp_path):
  shutil.copytree(folder / "reference", tmp_path / "reference")
  write_track(tmp_path / "reference" / "brief.wav", 50, seconds=0.6)
  paths = str(folder / "suspects"), str(tmp_path / "reference")
  inputs = procedure.read(settings(folder), *paths)
  for corpus in (inputs.suspects, inputs.comparison, inputs.calibration):
    assert len(corpus) == 2 * len(corpus.tracks)
  assert any(
    note.startswith("2 clips of 0.256 s a track, not 3") for note in inputs.notes
  )


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"model": "nowhere"}, "--model: no model folder nowhere"),
    ({"reference_model": "nowhere"}, "--reference_model: no model folder nowhere"),
    ({"suspects": "nowhere"}, "--suspects: nowhere: no such folder"),
    ({"reference": "pyproject.toml"}, "--reference: .*not a folder"),
    ({"reference": "tests/evaluation"}, "--reference: .*no audio files in it"),
    ({"suspects": "piano"}, "--suspects=piano is a built corpus"),
  ],
)
def test_inputs_that_cannot_be_used(folder, given, message):
  config = settings(folder)
  if "model" in given:
    config.targets.model = given["model"]
  if "reference_model" in given:
    config.targets.reference = given["reference_model"]
  sides = [given.get(side, str(folder / side)) for side in ("suspects", "reference")]
  with pytest.raises(app.UsageError, match=message):
    procedure.read(config, *sides)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"alpha": 0.7}, "--config.alpha=0.7"),
    ({"corpus.clips_per_track": 0}, "clips_per_track=0: at least 1"),
    ({"methods": ()}, "names none"),
    ({"albums": "all"}, "--config.albums=all: one of"),
    ({"alpha": 0.005, "permutations": 99}, "give at least 199"),
  ],
)
def test_settings_that_cannot_be_used(folder, change, message):
  with pytest.raises(app.UsageError, match=message):
    procedure.check(settings(folder, **change))


def clip(track, group, i=0):
  return Clip(
    id=f"{track}@{i}", track=track, group=group, source="", title="", author="",
    licence="", start_seconds=0.0, sha256="",
  )  # fmt: skip


def score_rows(clips, method, calibrated="none", model=procedure.MODEL):
  names = {"method": method, "difficulty_calibration": calibrated, "model": model}
  rng = np.random.default_rng(len(method))
  return [names | {"clip": c.id, "score": float(rng.normal())} for c in clips]


def test_a_clip_that_failed_is_left_out_and_named():
  clips = [clip(f"s{i}", "a", k) for i in range(3) for k in range(2)]
  clips += [clip(f"b{i}", "b") for i in range(5)] + [
    clip(f"d{i}", "dev") for i in range(9)
  ]
  rows = score_rows(clips, "loss") + score_rows(clips[1:], "pia")
  scores, failed = statistics.tabulate(rows, tuple(clips))
  assert failed == ["s0@0"]
  kept = {row["clip"]: row["score"] for row in rows if row["method"] == "loss"}
  assert scores.suspects["loss"]["s0"] == kept["s0@1"]
  assert scores.suspects["loss"]["s1"] == np.mean([kept["s1@0"], kept["s1@1"]])
  config = audit_config.get_config()
  config.alpha = 0.2
  enough, control = audit_gates.of_scores(config, scores, rows, tuple(clips))
  assert (enough.holds, control.holds) == (False, None)
  assert "4 comparison and 10 calibration tracks must have scores" in enough.mend


def test_a_reference_model_that_tells_the_sides_apart_is_a_failed_control():
  clips = tuple(
    [clip(f"s{i:02d}", "a") for i in range(9)]
    + [clip(f"b{i:02d}", "b") for i in range(9)]
    + [clip(f"d{i:02d}", "dev") for i in range(12)]
  )
  rows = score_rows(clips, "loss")
  rows += score_rows(clips, "loss", model=pivot.REFERENCE)
  rows += score_rows(clips, "loss", calibrated="reference")
  config = audit_config.get_config()
  config.alpha = 0.2
  scores, _ = statistics.tabulate(rows, clips)
  assert list(scores.suspects) == ["loss - reference"]
  _, control = audit_gates.of_scores(config, scores, rows, clips)
  assert control.holds
  for row in rows:
    row["score"] += 9 * (row["model"] == pivot.REFERENCE and row["clip"][0] == "s")
  _, control = audit_gates.of_scores(config, scores, rows, clips)
  assert control.holds is False
  assert "it is their content" in control.mend


def test_a_method_that_does_not_vary_is_a_failed_gate():
  groups = (("s", "a", 9), ("b", "b", 9), ("d", "dev", 20))
  clips = [
    clip(f"{k}{i:02d}", group) for k, group, count in groups for i in range(count)
  ]
  inputs = types.SimpleNamespace(
    gates=[],
    albums=None,
    **{
      side: types.SimpleNamespace(clips=tuple(c for c in clips if c.group == group))
      for side, group in (
        ("suspects", "a"),
        ("comparison", "b"),
        ("calibration", "dev"),
      )
    },
  )
  rows = score_rows(clips, "loss")
  config = audit_config.get_config()
  config.alpha = 0.2
  gates, _, found, _ = procedure.find(config, inputs, rows)
  assert found is not None
  for row in rows:
    row["score"] = 1.0
  gates, scores, found, _ = procedure.find(config, inputs, rows)
  assert (scores, found) == (None, None)
  assert gates[-1].holds is False
  assert gates[-1].text == "loss does not vary over the calibration tracks"
  # Of the reference model alone: its control cannot be run.
  rows = score_rows(clips, "loss") + score_rows(clips, "loss", calibrated="reference")
  rows += [
    row | {"model": pivot.REFERENCE, "score": 1.0} for row in rows[: len(clips)]
  ]
  gates, _, found, _ = procedure.find(config, inputs, rows)
  assert found is not None
  assert gates[-1].holds is None
  assert "does not vary" in gates[-1].text


def test_easier_tracks_are_audited_from_stored_rows(launcher):
  root = pathlib.Path(__file__).parents[2]
  study = f"--study={root / 'results/mini'}"
  done = launcher.run("audit_shift", study, "--audits=2", "--shifts=0,1")
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert [line.split()[:2] for line in lines[2:6]] == [["A", "7"]] * 2 + [
    ["B", "6"]
  ] * 2
  drawn = [float(line.split()[2]) for line in lines[2:6]]
  assert drawn[1] > drawn[0] + 0.5
  assert drawn[3] > drawn[2] + 0.5
  assert "rank correlation with the reference model's Loss is 0." in lines[6]
  done = launcher.run("audit_shift", study, "--shifts=nan")
  assert "--shifts are numbers from 0 to 10" in complaint(done)


def test_suspects_are_drawn_by_as_much_as_asked_for():
  ease = np.random.default_rng(0).normal(size=46)
  for shift in (0.5, 1.0):
    slope = audit_shift.slope_for(ease, 7, shift)
    drawn = [
      audit_shift.shift_of(ease, audit_shift.draw_suspects(ease, 7, slope, 10**6 + i))
      for i in range(400)
    ]
    assert np.mean(drawn) == pytest.approx(shift, abs=0.06)
  with pytest.raises(ValueError, match="cannot be 9 sd off"):
    audit_shift.slope_for(ease, 7, 9)


def test_how_often_stored_audits_find_evidence(launcher):
  root = pathlib.Path(__file__).parents[2]
  done = launcher.run(
    "audit_null", f"--study={root / 'results/mini'}", "--audits=2", "--suspects=12"
  )
  assert done.returncode == 0, done.stderr
  lines = [line.split() for line in done.stdout.splitlines()]
  size = statistics.smallest_reference(0.05, 1, 20).total
  assert ["A", "7", "unseen", str(size)] == lines[2][:4]
  assert lines[5][:5] == ["B", "12", "trained", "on", "45"]
  assert "between 0 and 1 of them" in done.stdout
  done = launcher.run("audit_null", "--study=tests")
  assert "--study=tests: tests: has no main.jsonl" in complaint(done)
