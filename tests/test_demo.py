"""The demo, on the toy model."""

from ditto import demo


def test_demo_hands_out_sound_and_picture_and_says_what_to_try(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["model=toy", "sampler.steps=2", "task.steps=2", "task=intensity", "progress=false"]
    assert demo.main(options) == 0
    out = capsys.readouterr().out
    assert "text_only" in out
    assert "Try next" in out
    suffixes = sorted("".join(p.suffixes) for p in (tmp_path / "demo" / "intensity").iterdir())
    assert suffixes == [".png", ".text_only.wav", ".wav"]
    assert demo.main(options) == 0, "a second demo shows the first again"
    assert "intensity_mse" in capsys.readouterr().out


def test_demo_passes_mistakes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert demo.main(["model=toy", "task=karaoke"]) == 2
    assert not list(tmp_path.iterdir())
