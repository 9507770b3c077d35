"""launch.corpus: one folder of originals becomes a corpus that opens."""

from launching import complaint
from originals import write_maestro

from lsaprobe_jax.data import manifest
from lsaprobe_jax.data.corpus import open_corpus


def test_the_launcher_builds_and_names_the_folder(tmp_path, launcher):
  originals = write_maestro(tmp_path / "originals")
  done = launcher.run(
    "corpus",
    "--corpus=maestro_v3",
    f"--downloads={originals}",
    f"--output={tmp_path / 'built'}",
    "--sample_rate=16000",
    "--segments_per_track=1",
    "--segment_seconds=4",
  )
  assert done.returncode == 0, done.stderr
  path = done.stdout.split("--config.corpus.path=")[1].strip()
  opened = open_corpus(path, sample_rate=16000, clip_seconds=4.0)
  assert len(opened) == len(manifest.read(path).tracks)


def test_an_unknown_corpus_is_one_line(tmp_path, launcher):
  done = launcher.run("corpus", "--corpus=nope", f"--output={tmp_path}")
  assert "nope" in complaint(done)
