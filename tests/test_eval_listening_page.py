"""The listening page: it stands alone, hides whose clip is whose, and works in a browser."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from eval.listening import aggregate
from eval.listening.key import read_key
from eval.listening.page import run
from eval.listening.pictures import notes_of
from tests.browser import Browser, needs_browser
from tests.listening_cases import METHODS, RATE, SECONDS, listening, write_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs, with the page and its key in listening/."""
    made = write_runs(tmp_path_factory.mktemp("runs"))
    run(listening(made))
    return made


@pytest.fixture(scope="module")
def page(folder):
    return folder / "listening/index.html"


class Elements(HTMLParser):
    """Every element's tag and attributes, and the text of each script by id."""

    def __init__(self, text):
        super().__init__()
        self.all, self.scripts, self._script = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.all.append((tag, dict(attributes)))
        self._script = dict(attributes).get("id", "") if tag == "script" else None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


@pytest.fixture(scope="module")
def elements(page):
    return Elements(page.read_text())


def silent(text):
    """The page without its sound: base64 may spell anything."""
    return re.sub(r'(<script type="text/plain"[^>]*>)[^<]*', r"\1", text)


def test_the_page_names_no_method_run_or_file(page, folder):
    text = silent(page.read_text()).lower()
    for method in {method for methods in METHODS.values() for method in methods} | {"multidiffusion"}:
        assert method not in text
    for path in (*folder.glob("*-*"), *folder.glob("intensity-ditto/audio/*")):
        assert path.name.lower() not in text
    assert str(folder).lower() not in text
    assert "key.json" not in text


def test_the_page_asks_for_nothing(page, elements):
    sources = [value for _, about in elements.all for key, value in about.items() if key in ("src", "href", "action")]
    assert sources == ["data:,"]  # the icon that browsers ask for
    text = silent(page.read_text())
    assert set(re.findall(r"\b\w+://[^\s\"'<]*", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|sendBeacon|WebSocket", text)


def test_every_clip_is_there_and_sounds_as_generated(elements, folder):
    data, key = json.loads(elements.scripts["data"]), read_key(folder / "listening/key.json")
    assert key["page"] == data["page"]
    assert len(data["triplets"]) == 6
    names = [name for one in data["triplets"] for name in one["samples"]]
    assert names == [name for one in key["triplets"].values() for name in one["samples"]]
    blocks = [name for name in elements.scripts if name.startswith("sound-")]
    assert blocks == sorted(f"sound-{name}" for name in names)  # an order that tells nothing
    for one in data["triplets"]:
        entry = key["triplets"][one["name"]]
        for name in one["samples"]:
            content = io.BytesIO(base64.b64decode(elements.scripts[f"sound-{name}"]))
            wave, rate = soundfile.read(content)
            run_name = f"{entry['task']}-{entry['samples'][name]}"
            heard, _ = soundfile.read(folder / run_name / f"audio/{entry['clip']}.flac")
            assert rate == RATE
            assert len(wave) / rate == pytest.approx(one["seconds"], abs=0.1)
            assert np.sqrt(np.mean(wave**2)) == pytest.approx(np.sqrt(np.mean(heard**2)), rel=0.1)


def test_targets_are_drawn(elements):
    data = json.loads(elements.scripts["data"])
    drawn = {one["task"]: one for one in data["triplets"]}
    assert "polyline" in drawn["intensity"]["svg"]
    assert "dB" in drawn["intensity"]["legend"]
    assert drawn["melody"]["notes"]
    assert drawn["melody"]["svg"].count("<rect") == len(drawn["melody"]["notes"])
    assert "dB" not in drawn["melody"]["legend"]
    assert drawn["outpainting"]["seconds"] == pytest.approx(2 * SECONDS - 0.5, abs=0.01)
    assert drawn["outpainting"]["legend"].startswith("recording until 1.0 s")
    assert all(about["asked"] for about in data["tasks"].values())


def test_a_prompt_cannot_end_its_script(folder, page):
    from eval.listening.page import page as built

    data = json.loads(Elements(page.read_text()).scripts["data"])
    data["triplets"][0]["prompt"] = "</script><b>"
    again = json.loads(Elements(built(data, [])).scripts["data"])
    assert again["triplets"][0]["prompt"] == "</script><b>"


def test_notes_join_frames_of_one_pitch_class():
    one_hot = np.zeros((12, 6))
    one_hot[[0, 0, 4, 4], [0, 1, 2, 5]] = 1
    assert notes_of(one_hot, 0.5) == [(0.0, 1.0, 0), (1.0, 0.5, 4), (2.5, 0.5, 4)]


def test_the_same_runs_and_seed_give_the_same_page(folder, page):
    before = page.read_text()
    run(listening(folder))
    assert page.read_text() == before


FAST = "for (const clip of clips) clip.audio.playbackRate = 4"


def rate(browser, scores):
    """Hear the clips of the triplet on the screen and rate them with the mouse, at these shares of the slider."""
    browser.run(FAST)
    for number, share in enumerate(scores, 1):
        assert browser.run(f"clips[{number - 1}].slider.disabled")
        browser.click(f".clip:nth-child({number}) .play")
        browser.until(f"clips[{number - 1}].heard")
        browser.click(f".clip:nth-child({number}) input", share)


@needs_browser
def test_a_listener_hears_rates_reloads_and_saves(page, folder, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(page, 1280, 900)
        browser.click("#nickname")
        browser.press("x")
        browser.click("#begin")
        assert browser.run("document.querySelector('.next').disabled")
        browser.click(".clip input", 0.9)  # not heard yet
        assert browser.run("Object.keys(clips[0].record.scores).length") == 0
        rate(browser, (0.2, 0.5, 0.8))
        first = browser.run("[...document.querySelectorAll('output')].map((one) => Number(one.textContent))")
        assert first == sorted(first)
        assert first[0] < 30 < 70 < first[2]
        browser.click(".next")
        browser.reload()
        assert browser.run("document.querySelector('#begin').textContent") == "Go on"
        assert browser.run("document.querySelector('#nickname').value") == "x"
        browser.click("#begin")
        assert browser.run("document.querySelector('.place').textContent") == "Piece 2 of 6"
        browser.click(".save")
        browser.wait(lambda: list(browser.downloads.glob("ratings_*.json")), "the download")
        screen = browser.run("store.file()")
        assert not browser.errors
        assert not [url for url in browser.requests if not url.startswith(("file:", "blob:", "data:"))]
    (saved,) = browser.downloads.glob("ratings_*.json")
    content = json.loads(saved.read_text())
    assert saved.name == f"ratings_{content['rater']}.json"
    assert content["triplets"] == json.loads(screen)["triplets"]
    (one,) = content["triplets"]
    assert [one["scores"][name] for name in one["order"]] == first
    table = aggregate.run(listening(folder, f"ratings={browser.downloads}"))
    assert table["n"].tolist() == [1] * 4  # two comparisons, two metrics


@needs_browser
def test_a_clip_that_still_sounds_does_not_stop_the_next_one(page, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(page)
        browser.click("#begin")
        browser.click(".clip:nth-child(1) .play")
        browser.until("clips[0].audio.currentTime > 0")
        # The frame of the first clip that comes between the click on the second one and that one's first event.
        browser.run("clips[1].toggle(); clips[0].progress()")
        assert browser.run("clips.map((clip) => clip.audio.paused)") == [True, False, True]


@needs_browser
def test_the_keyboard_is_enough_on_a_phone(page, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(page, 390, 844, touch=True)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        browser.run("document.querySelector('#begin').focus()")
        browser.press("Enter")
        browser.run(FAST)
        assert browser.run("document.documentElement.scrollWidth") <= 390
        for number in (1, 2, 3):
            browser.press(str(number))
            browser.until(f"clips[{number - 1}].heard && clips[{number - 1}].audio.paused")
        browser.run("clips[0].slider.focus()")
        browser.press("Enter")  # where it stands
        browser.run("clips[1].slider.focus()")
        browser.press("ArrowRight")
        assert browser.run("clips.map((clip) => clip.record.scores[clip.sample] ?? null)") == [50, 51, None]
        assert browser.run("document.querySelector('.next').disabled")
        assert browser.run("document.querySelector('.hint').textContent") == "still to rate: C"
        assert not browser.errors


@needs_browser
def test_every_listener_has_an_order_of_their_own(page, tmp_path):
    orders = []
    for name in ("a", "b"):
        with Browser(tmp_path / name) as browser:
            browser.open(page)
            orders.append(browser.run("JSON.stringify([store.state.order, Object.values(store.state.triplets)])"))
            again = "JSON.stringify([0, 1].map(() => shuffled([...Array(9).keys()], generator('rater'))))"
            first, second = json.loads(browser.run(again))
            assert first == second
            assert sorted(first) == list(range(9)) != first
    assert orders[0] != orders[1]
