"""Audits without reference tracks: by twins of suspects, or by versions held back."""

import json
import shutil

import jax
import numpy as np
import pytest
import soundfile
from tiny_audits import SETTINGS, gates, given, recorded_as, write_canary
from tiny_tracks import write_tagged, write_track

from lsaprobe_jax import cli, diffusion
from lsaprobe_jax.audit import audit, prepare
from lsaprobe_jax.errors import ArgumentError, SettingError
from lsaprobe_jax.models.trained import from_denoiser
from lsaprobe_jax.scoring.row_store import read_rows

NEED_REFERENCE = (
  "size of the reference",
  "no recording on both sides",
  "reference not in the model's own record",
  "blind baseline",
  "null control",
  "unseen music is centred",
)


def alone(folder, **changes):
  """Arguments of an audit of suspects alone."""
  arguments = given(folder, **{"methods": ("loss", "lsa_probe")} | changes)
  del arguments["reference"]
  return arguments


def linear():
  """A model that treats twins exactly as it treats their clips."""
  return from_denoiser(
    lambda params, x, t: params * x,
    diffusion.linear(20, 1e-4, 0.2),
    sample_rate=8000,
    params=jax.numpy.float32(0.5),
  )


@pytest.fixture(scope="module")
def result(folder):
  return audit(**alone(folder))


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
  return write_canary(tmp_path_factory.mktemp("canary"))


def of_versions(folder, canary, **changes):
  changes = {"suspects": canary / "published", "held_back": canary / "held"} | changes
  return alone(folder, **changes)


def test_suspects_alone_are_compared_with_their_twins(result):
  (test,) = result.findings.tests
  assert (test.name, test.kind) == ("suspects alone", "versions")
  assert result.p_value == test.p_value == test.sets["panel"].p_value
  assert result.scores.methods == ("loss by twins", "panel")
  assert result.difficulty_calibration == "twins"
  assert result.verdict.startswith(
    "This assumes that a model that has not seen the tracks is as likely to score them"
    " above as below their twins (polarity), and no reference music has checked it. "
  )
  note = "left out: lsa_probe, which needs a tau: there are no reference tracks to"
  assert any(line.startswith(note) for line in result.notes)
  found = gates(result)
  for name in NEED_REFERENCE:
    assert found[name].holds is None
    assert found[name].text.startswith("not run: ")
  assert found["size of the suspects"].holds
  # Three clips a track, of which each has two versions.
  assert result.findings.lowest_track == 1 / 8
  assert len(result.tracks) == 8
  assert "reference=0" in repr(result)


def test_the_same_p_value_stands_beside_the_test_with_a_reference(folder, result):
  both = audit(**given(folder, methods=("loss",)))
  assert [test.name for test in both.findings.tests] == [
    "by twins",
    "raw",
    "suspects alone",
  ]
  assert both.findings.tests[2].p_value == result.p_value
  assert both.difficulty_calibration == "twins"
  assert gates(both)["unseen music is centred"].holds in (True, None)
  # Two twins count with a reference, and one without.
  assert "(polarity)" in both.findings.tests[2].assumes
  rows = [row for row in both.to_rows() if "twins" in row]
  assert {row["twins"] for row in rows} == {"polarity,reversal"}


def test_a_dossier_of_suspects_alone(result, tmp_path):
  page = result.save(tmp_path / "w").read_text()
  assert "their own twins. No reference music was given" in page
  assert result.verdict in page
  assert "<script" not in page
  found = json.loads((tmp_path / "w" / "audit.json").read_text())
  assert found["reference"] is None
  assert found["found"]["mode"] == "alone"
  assert found["found"]["tests"][0]["lowest"] == 1 / 100
  rows = read_rows(tmp_path / "w" / "scores.jsonl")
  assert len(rows) == 8 * 3
  assert {row["twins"] for row in rows} == {"polarity"}
  assert (tmp_path / "w" / "figures" / "tracks.png").exists()
  printed = str(result)
  assert "suspects alone assumes: a model that has not seen" in printed
  assert printed.endswith(result.verdict)


def test_albums_are_exchanged_whole(folder, tmp_path):
  for i in range(8):
    path = tmp_path / f"album {i // 3}" / f"{i}.wav"
    write_track(path, i)
  refused = audit(**alone(folder, suspects=tmp_path, alpha=0.1))
  size = gates(refused)["size of the suspects"]
  assert "8 suspects in 3 albums or single tracks" in size.text
  assert refused.verdict.startswith("No verdict. A gate fails: size of the suspects:")
  found = audit(**alone(folder, suspects=tmp_path))
  (test,) = found.findings.tests
  assert test.lowest == 1 / 8
  assert test.by_album
  assert gates(found)["albums"].holds


def test_the_command_takes_suspects_alone(folder, tmp_path, capsys, monkeypatch):
  # JAX has started here.
  monkeypatch.setattr(cli, "_use_devices", lambda: None)
  sets = [f"--set={name}={value!r}" for name, value in SETTINGS.items()]
  given = (f"--model={folder / 'model'}", f"--suspects={folder / 'suspects'}")
  args = ["audit", *given, f"--workdir={tmp_path / 'w'}", *sets]
  assert cli.main([*args, "--dry_run"]) == 0
  assert "size of the suspects: holds" in capsys.readouterr().out
  assert not (tmp_path / "w").exists()
  assert cli.main([*args, "--set=methods=('loss',)"]) == 0
  assert "This assumes that a model that has not seen" in capsys.readouterr().out
  assert cli.main([*args, f"--held_back={folder / 'reference'}"]) == 1
  assert "error: --held_back=" in capsys.readouterr().err


def test_one_suspect_is_too_few(folder):
  found = audit(**alone(folder, suspects=folder / "suspects" / "03.wav"))
  assert found.evidence is None
  assert "give 2 more tracks of other albums, or reference tracks" in found.verdict


def test_twins_that_carry_no_signal_are_left_out_or_refused(folder):
  changes = {"corpus.clip_seconds": 0.256, "methods": ("loss",)}
  arguments = alone(folder, **changes) | {"model": linear()}
  found = audit(**arguments)
  assert found.evidence is None
  assert gates(found)["twins"].holds is False
  assert "give reference tracks" in found.verdict
  left_out = [note for note in found.notes if note.startswith("left out: the twin")]
  assert len(left_out) == 1
  assert "polarity: the network treats it like the clip" in left_out[0]
  # With reference tracks the audit goes on without twins.
  inputs = prepare(**given(folder, **changes) | {"model": linear()})
  assert inputs.settings.twins.names == ()
  assert sum("left out: the twin" in note for note in inputs.notes) == 2
  message = r"^reference_free_twins=channel_swap: models may prefer"
  with pytest.raises(SettingError, match=message):
    prepare(**arguments | {"reference_free_twins": ("channel_swap",)})
  named = given(folder, **changes) | {"model": linear()}
  with pytest.raises(SettingError, match=r"^twins\.names=phase_90: the network"):
    prepare(**named | {"twins": {"names": ("phase_90",)}})
  with pytest.raises(SettingError, match=r"^twins\.names=channel_swap: the clips have"):
    prepare(**named | {"twins": {"names": ("channel_swap",)}})


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"methods": ("lsa_probe",)}, "^methods: lsa_probe need a tau"),
    ({"reference_free_twins": ("reversal",)}, "^reference_free_twins=reversal: models"),
    (
      {"reference_free_twins": ("sideways",)},
      "^reference_free_twins=sideways: known: pol",
    ),
    ({"twins.names": ("sideways",)}, r"^twins\.names=sideways: known: polarity"),
    ({"two_sided": 2}, "^two_sided=2: True or False"),
  ],
)
def test_settings_that_cannot_be_used_alone(folder, changes, message):
  with pytest.raises(SettingError, match=message):
    prepare(**alone(folder, **changes))


def test_published_versions_against_those_held_back(folder, canary, tmp_path):
  found = audit(**of_versions(folder, canary), workdir=tmp_path / "w")
  (test,) = found.findings.tests
  assert test.name == "published against held back"
  assert test.lowest == 1 / 100
  assert found.scores.methods == ("loss", "panel")
  assert "as below their versions that were held back" in test.assumes
  assert {row["clip"].partition("-")[0] for row in found.to_rows()} == {
    "suspect",
    "held_back_1",
    "held_back_2",
  }
  # One clip of each version at the same place, and no twins.
  places = [row["clip"].rpartition("@")[2] for row in found.to_rows()]
  assert places[:18] == places[18:36] == places[36:]
  assert not any("twins" in row for row in found.to_rows())
  assert gates(found)["versions differ"].holds
  assert gates(found)["blind baseline"].holds is None
  page = found.save(tmp_path / "w").read_text()
  assert "said to have been held back" in page
  assert len((tmp_path / "w" / "tracks.csv").read_text().splitlines()) == 1 + 18
  drawn = audit(**of_versions(folder, canary, canary_randomised=True))
  assert drawn.p_value == found.p_value
  assert drawn.verdict.startswith(
    "This assumes that which version of each track was published was drawn at random. "
  )


def test_a_draw_for_each_track_asks_no_album(folder, canary, tmp_path):
  """Six tracks of one tagged album, which is one block where nothing was drawn."""
  for path in sorted((canary / "published").iterdir()):
    samples, rate = soundfile.read(path)
    write_tagged(tmp_path / f"{path.stem}.flac", samples, rate, album="Ours")
  versions = tmp_path.with_name("held-flac")
  for path in sorted((canary / "held").rglob("*.wav")):
    samples, rate = soundfile.read(path)
    name = path.relative_to(canary / "held").with_suffix(".flac")
    write_tagged(versions / name, samples, rate)
  given = of_versions(folder, canary, suspects=tmp_path, held_back=versions)
  inputs = prepare(**given)
  assert set(inputs.albums.values()) == {": ours"}
  assert gates(inputs)["size of the suspects"].holds is False
  drawn = prepare(**given, canary_randomised=True)
  assert drawn.albums is None
  assert gates(drawn)["size of the suspects"].holds
  assert gates(drawn)["albums"].text.startswith("not asked about, as the version of")
  strict = {"canary_randomised": True, "alpha": 0.0005, "permutations": 1999}
  few = prepare(**given | strict)
  assert gates(few)["size of the suspects"].mend == "give 1 more tracks"


def test_held_back_versions_are_tested_on_one_side(folder, canary):
  with pytest.raises(SettingError, match=r"^two_sided: .*; leave it out"):
    prepare(**of_versions(folder, canary, two_sided=True))


def test_versions_are_cut_at_the_same_places(folder, canary, tmp_path):
  """One version is longer than the others, one shorter."""
  shutil.copytree(canary / "published", tmp_path / "p")
  shutil.copytree(canary / "held" / "v1", tmp_path / "h")
  write_track(tmp_path / "p" / "0.wav", 50, seconds=9.0)
  write_track(tmp_path / "h" / "0.wav", 51, seconds=5.0)
  inputs = prepare(
    **of_versions(folder, canary, suspects=tmp_path / "p", held_back=tmp_path / "h")
  )
  (held_back,) = inputs.held_back
  starts = [
    [(c.track.rpartition("-")[2], c.start_seconds) for c in side.clips]
    for side in (inputs.suspects, held_back)
  ]
  assert starts[0] == starts[1]
  assert len(starts[0]) == 6 * 3
  assert all(start < 4 for track, start in starts[0] if track == "0")


def test_names_that_are_missing_or_too_many_are_refused(folder, canary, tmp_path):
  shutil.copytree(canary / "held" / "v1", tmp_path / "h")
  (tmp_path / "h" / "3.wav").rename(tmp_path / "h" / "three.wav")
  message = r"^held_back=.*: no version of 3\.wav; nothing published as three\.wav; "
  with pytest.raises(ArgumentError, match=message):
    prepare(**of_versions(folder, canary, held_back=tmp_path / "h"))
  message = r"^held_back=.*: a folder of tracks is wanted"
  with pytest.raises(ArgumentError, match=message):
    prepare(**of_versions(folder, canary, held_back=tmp_path / "none"))


def test_what_was_published_was_not_held_back(folder, canary, tmp_path):
  shutil.copytree(canary / "held" / "v1", tmp_path / "h")
  shutil.copy(canary / "published" / "2.wav", tmp_path / "h" / "2.wav")
  found = audit(**of_versions(folder, canary, held_back=tmp_path / "h"))
  assert gates(found)["versions differ"].text == (
    "1 have the same samples: suspect-2 and held_back_1-2"
  )
  assert found.evidence is None
  clean = prepare(**of_versions(folder, canary))
  clip = clean.held_back[0].clips[0]
  model = recorded_as(tmp_path / "m", [(clip.id, clip.sha256)])
  seen = prepare(
    **of_versions(folder, canary, model=model, **{"corpus.clip_seconds": 0.256})
  )
  gate = gates(seen)["held-back versions not in the model's own record"]
  assert gate.holds is False
  assert clip.track in gate.text


def test_a_version_that_cannot_be_read_is_left_out_on_all_sides(
  folder, canary, tmp_path
):
  shutil.copytree(canary / "held" / "v1", tmp_path / "h")
  soundfile.write(tmp_path / "h" / "4.wav", np.zeros(8000), 8000)
  (tmp_path / "h" / "5.wv").touch()
  inputs = prepare(**of_versions(folder, canary, held_back=tmp_path / "h"))
  assert "suspect-4" not in inputs.suspects.tracks
  assert any(note.startswith("left out: 4: ") for note in inputs.notes)
  assert any(n.startswith("held_back_1: ") and "5.wv" in n for n in inputs.notes)


def test_empty_sides_of_a_canary_are_refused(folder, canary, tmp_path):
  given = of_versions(folder, canary, suspects=tmp_path, held_back=tmp_path)
  with pytest.raises(ArgumentError, match=r"^suspects: there is no audio file in it"):
    prepare(**given)


def test_what_lies_beside_the_folders_of_versions_is_noted(folder, canary, tmp_path):
  held = shutil.copytree(canary / "held", tmp_path / "h")
  (held / "v2_final").mkdir()
  inputs = prepare(**of_versions(folder, canary, held_back=held))
  (note,) = (n for n in inputs.notes if n.startswith("held_back: beside"))
  assert note.endswith("not read: v2_final")


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"held_back": "h", "reference": "r"}, "^reference and held_back"),
    ({"held_back": "h", "reference_model": "m"}, "^reference_model and held_back"),
    ({"reference_model": "m"}, "^reference_model takes a reference"),
    ({"reference_groups": ["a"]}, "^reference_groups: there is no reference"),
    ({"suspects": "multigenre", "held_back": "tests"}, "^suspects: a folder of audio"),
  ],
)
def test_arguments_that_do_not_go_together(folder, changes, message):
  with pytest.raises(ArgumentError, match=message):
    prepare(**alone(folder) | changes)
