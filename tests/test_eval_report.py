"""The page of sound examples: what is on it, that it needs no network, and that its numbers are those of the runs."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from ditto.controls.reference import EXAMPLES
from ditto.types import UserError
from eval.control import measured
from eval.finished import Finished, load_runs
from eval.report.__main__ import run
from eval.report.audio import mp3
from eval.report.paper_tables import NEEDED, paper_tables
from eval.report.screenshot import screenshot
from tests.browser import Browser, needs_browser
from tests.report_cases import FRAMES, METHODS, TASKS, report_options, write_runs

VOID = {"meta", "link", "img", "input", "br", "path", "rect", "image", "option"}


class Page(HTMLParser):
    """Every element as (tag, attributes), and whether tags were closed in their order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag, name=None):
        return [about for found, about in self.elements if found == tag and (name is None or name in about)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_runs(folder)
    (folder / "results").mkdir()
    lines = ["task,method,metric,value,low,high,n,reference"]
    lines += [f"{task},{m},{TASKS[task]},{9 - k}.25,1,20,2," for task in TASKS for k, m in enumerate(METHODS)]
    lines += [f"intensity,{m},fad,{20 + k},,,2,500 test clips (musicnn)" for k, m in enumerate(METHODS)]
    (folder / "results/methods.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return run(report_options(folder)).read_text()


@pytest.fixture(scope="module")
def page(text):
    page = Page(text)
    assert page.open == []
    return page


def decoded(url):
    kind, content = url.split(",", 1)
    return kind, base64.b64decode(content, validate=True)


def test_the_page_needs_no_network(text, page):
    assert not re.search(r"(?:https?|ftp|file):|//[a-z0-9-]+\.[a-z]", re.sub(r"base64,[\w+/=]+", "", text))
    addresses = [about[name] for _, about in page.elements for name in ("src", "href") if name in about]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_every_sound_decodes_to_the_length_of_its_clip(page):
    sounds = [about["src"] for about in page.all("audio")]
    lengths = [float(about["aria-valuemax"]) for about in page.all("div", "aria-valuemax")]
    clips = 2 * len(TASKS) * len(METHODS) - 1 + 2  # one failed; two recordings
    assert len(sounds) == len(lengths) == clips
    for sound, seconds in zip(sounds, lengths, strict=True):
        kind, content = decoded(sound)
        wave_N, rate = soundfile.read(io.BytesIO(content))
        assert kind == "data:audio/mpeg;base64"
        assert len(wave_N) / rate == pytest.approx(seconds, abs=0.01)
        assert np.abs(wave_N).max() > 0.05
    assert max(lengths) == pytest.approx(2 * FRAMES * 256 / 22050 - 2, abs=0.02)  # stitched to the recording


def test_every_picture_decodes(page):
    pictures = [about["src"] for about in page.all("img")] + [about["href"] for about in page.all("image")]
    for picture in pictures:
        image = Image.open(io.BytesIO(decoded(picture)[1]))
        image.load()
        assert min(image.size) >= 12


def test_the_numbers_of_a_clip_are_those_of_its_run(folder, text, page):
    rows = load_runs(folder)
    rows = rows[(rows["task"] == "intensity") & (rows["method"] == "ditto")]
    one = Finished.of("intensity", "ditto", folder / "intensity_ditto", rows)
    expected = measured(one, folder / "cache")["intensity_mse"]
    articles = re.findall(r'<article class="clip m-ditto".*?</article>', section(text, "intensity"), re.S)
    shown = [float(re.search(r'data-metric="intensity_mse" data-value="([^"]+)"', part)[1]) for part in articles]
    assert shown == pytest.approx(list(expected), rel=1e-12)
    outpainted = re.findall(r'data-metric="overlap_mse" data-value="([^"]+)"', section(text, "outpainting"))
    assert [float(value) for value in outpainted] == [1.5, 2.5, 3.5, 1.75, 2.75, 3.75]  # the run's own
    assert 'data-metric="model_calls" data-value="80">80 calls' in text


def section(text, task):
    return text.split(f'data-task="{task}"')[1].split('<section class="task"')[0]


def test_a_failed_clip_says_why_and_has_no_numbers(text):
    (failed,) = re.findall(r'<p class="failed">(.*?)</p>', text)
    assert failed == "No sound: the loss became non-finite at step 3"
    article = next(p for p in text.split("<article") if failed in p).split("</article>")[0]
    assert "intensity_mse" not in article
    assert "<audio" not in article
    assert "1 of freedom on intensity" in text


def test_target_and_achieved_are_drawn_and_losses_too(text):
    assert section(text, "intensity").count('class="asked"') == 5
    assert section(text, "intensity").count('class="made"') == 5
    assert section(text, "melody").count('class="held"') == 6
    assert section(text, "melody").count("<image") == 6
    assert section(text, "structure").count("<image") == 6
    assert section(text, "structure").count(">target</text>") == 6  # the words that the control writes on its picture
    assert section(text, "outpainting").count('class="span"') == 6
    assert section(text, "outpainting").count('class="new"') == 6
    assert section(text, "melody").count('class="loss m-ditto"') == 2


def test_table_of_a_task_and_the_best_of_it(page, text):
    table = section(text, "intensity").split("<table>")[1].split("</table>")[0]
    assert set(re.findall(r'class="best">([\d.]+)', table)) == {"7.25", "21"}  # not text-only's 20: it controls nothing
    assert "FAD against" in text
    assert "500 test clips (musicnn)" in text


def test_a_paper_table_stands_with_its_reported_figures(tmp_path):
    rows = [
        {"task": "intensity", "label": "DITTO", "column": "MSE", "ours": 0.07, "low": 0.05, "high": 0.1, "n": 8},
        {"task": "intensity", "label": "FreeDoM", "column": "MSE", "ours": None, "reported": 5.5},
        {"task": "intensity", "label": "FreeDoM", "column": "FAD", "ours": 12.5, "reported": 0.69, "n": 8},
    ]
    pd.DataFrame(rows, columns=sorted(NEEDED)).to_csv(tmp_path / "table10.csv", index=False)
    pd.DataFrame(rows, columns=sorted(NEEDED)).iloc[:1].to_csv(tmp_path / "table2.csv", index=False)
    (tmp_path / "table2.md").write_text("# Table 2. Intensity\n\nMore.\n")
    (tmp_path / "table3.csv").write_text("something,else\n1,2\n")
    second, tenth = paper_tables(tmp_path)
    assert (second.title, tenth.title) == ("Table 2. Intensity", "table10")
    assert [name for name, *_ in tenth.head] == ["", "MSE", "FAD"]
    assert [[cell.text for cell in row] for row in tenth.rows] == [["DITTO", "0.07", ""], ["FreeDoM", "", "12.5"]]
    assert [[cell.note for cell in row] for row in tenth.rows] == [
        ["", "0.05 to 0.1", ""],
        ["", "paper 5.5", "paper 0.69"],
    ]
    assert tenth.rows[1][1].sort is None
    assert tenth.said == "n = 8"


def test_missing_pairs_are_named_with_their_command(text):
    missing = text.split('id="missing"')[1].split("</details>")[0]
    assert "4 pairs" in missing
    assert "DOODL: intensity, melody, outpainting, structure" in missing
    assert (
        "python -m ditto.run -m +experiment=methods task=intensity,melody,outpainting,structure method=doodl" in missing
    )


def test_provenance_licences_and_how_to_make_it(page, text):
    words = "".join(page.words)
    for fact in ("abc", "a CPU", "1970-01-01", "2 prompts a run", "ddim", "python -m eval.report"):
        assert fact in words
    known = json.loads((EXAMPLES / "examples.json").read_text())[0]["licence"]
    assert known in words


def test_the_same_runs_give_the_same_page_and_a_large_one_is_warned_about(folder, text, capsys):
    assert run(report_options(folder, f"out={folder}/again.html", "max_mb=0.01")).read_text() == text
    assert "larger than max_mb=0.01" in capsys.readouterr().err


def test_a_damaged_sound_is_named_and_the_page_is_made(tmp_path, capsys):
    write_runs(tmp_path, {"intensity": "intensity_mse"})
    file = next((tmp_path / "intensity_ditto/audio").glob("000*.flac"))
    file.write_bytes(file.read_bytes()[:2000])
    text = run(report_options(tmp_path, "tasks=[intensity]")).read_text()
    assert re.search(rf'<p class="failed">No sound: .*{re.escape(file.stem)}', text)


def test_mistakes_are_one_line(folder):
    with pytest.raises(UserError, match="prompts=5: choose 1 to n=2"):
        run(report_options(folder, "prompts=5"))
    with pytest.raises(UserError, match="bitrate=500 is not possible at 22050 Hz: choose 8 to 160"):
        mp3(np.zeros(22050), 22050, 500)


def test_bit_rate_is_as_asked():
    wave_N = np.random.default_rng(0).normal(size=4 * 22050) * 0.1
    assert len(mp3(wave_N, 22050, 32)) * 8 / 4000 == pytest.approx(32, rel=0.2)
    assert len(mp3(wave_N, 22050, 96)) * 8 / 4000 == pytest.approx(96, rel=0.2)


@pytest.fixture(scope="module")
def browser(folder, text, tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def opened(browser, folder, **size):
    browser.open(folder / "report.html", **size)
    browser.run("location.hash = '#task=intensity&prompt=1'")
    browser.until("document.querySelector('#count').textContent === '3 clips'")
    return browser


PLAY = ".m-{} .play"
STATE = "[...document.querySelectorAll('.playing')].map(clip => clip.dataset.method).join()"


@needs_browser
def test_opens_from_a_file_without_errors_or_requests(browser, folder):
    opened(browser, folder)
    asked = [url for url in browser.requests if not url.startswith("data:")]
    assert {url.partition("#")[0] for url in asked} <= {(folder / "report.html").as_uri()}
    assert browser.errors == []
    loaded = "[...document.images].filter(i => i.checkVisibility()).every(i => i.complete && i.naturalWidth > 0)"
    browser.until(loaded)


@needs_browser
def test_one_clip_plays_at_a_time_and_can_be_moved_in(browser, folder):
    opened(browser, folder)
    one, other = ("[data-task=intensity] " + PLAY.format(name) for name in ("text_only", "ditto"))
    browser.click(one)
    browser.until(f"{STATE} === 'text_only'")
    moved = "Number(document.querySelector('[data-task=intensity] .m-text_only .seek').ariaValueNow) > 0.05"
    browser.until(moved)
    browser.click(other)
    browser.until(f"{STATE} === 'ditto'")
    assert browser.run(f"document.querySelector('{one}').ariaPressed") == "false"
    browser.click("[data-task=intensity] .m-ditto .seek img", x=0.6)
    at = "Number(document.querySelector('[data-task=intensity] .m-ditto .seek').ariaValueNow)"
    length = FRAMES * 256 / 22050
    browser.until(f"{at} >= {0.6 * length - 0.05}")
    browser.press("Escape")
    browser.until(f"{STATE} === ''")
    duration = "new Promise(done => {const a = new Audio(document.querySelector('audio').src);"
    assert browser.run(f"{duration} a.onloadedmetadata = () => done(a.duration)}})") > 1


@needs_browser
def test_the_keyboard_is_enough(browser, folder):
    opened(browser, folder)
    browser.run("document.querySelector('[data-task=intensity] .m-ditto .play').focus()")
    browser.press("Enter")
    browser.until(f"{STATE} === 'ditto'")
    browser.press(" ")
    browser.until(f"{STATE} === ''")
    browser.press("Tab")
    assert browser.run("document.activeElement.className") == "seek"
    browser.press("ArrowRight")
    browser.until("Number(document.activeElement.ariaValueNow) >= 0.5")
    browser.press("Escape")


@needs_browser
def test_a_click_on_a_header_sorts_best_first_then_the_other_way(browser, folder):
    opened(browser, folder)
    table = "#intensity table"
    names = f"[...document.querySelectorAll('{table} tbody tr')].map(row => row.cells[1].dataset.sort)"
    for order, expected in (("ascending", ["7.25", "8.25", "9.25"]), ("descending", ["9.25", "8.25", "7.25"])):
        browser.click(f"{table} th:nth-child(2) button")
        assert browser.run(names) == expected
        assert browser.run(f"document.querySelector('{table} th:nth-child(2)').ariaSort") == order


@needs_browser
def test_filters_by_task_prompt_and_method_stand_in_the_address(browser, folder):
    opened(browser, folder)
    assert browser.run("[...document.querySelectorAll('.task')].filter(t => t.checkVisibility()).length") == 1
    browser.click(".menu summary")
    browser.click("input[value=freedom]")
    assert browser.run("document.querySelector('#count').textContent") == "2 clips"
    assert browser.run("location.hash") == "#task=intensity&prompt=1&method=text_only,ditto"
    shown = "[...document.querySelectorAll('#intensity .loss')].filter(e => e.checkVisibility()).map(e => e.tagName)"
    assert browser.run(shown) == ["path", "I"]  # DITTO's line and its key
    browser.reload()
    assert browser.run("document.querySelector('#count').textContent") == "2 clips"


@needs_browser
def test_a_telephone_needs_no_scrolling_sideways(browser, folder):
    opened(browser, folder, width=390, height=844, touch=True)
    for view in ("#task=intensity", "#task=outpainting", "#task="):
        browser.run(f"location.hash = '{view}'")
        assert browser.run("document.documentElement.scrollWidth") <= 390
        right = "[...document.querySelectorAll('.clip, .wide, .filter > *, .top *')].filter(e => e.checkVisibility())"
        assert (
            browser.run(f"Math.max(...{right}.map(e => e.getBoundingClientRect().right))") <= 390
        )  # nothing is cut off
    assert browser.run("getComputedStyle(document.querySelector('.play')).width") == "34px"


@needs_browser
def test_a_screenshot_is_a_small_png_of_the_window(folder, text, tmp_path):
    view = {"width": 1280, "height": 700, "fragment": "task=intensity"}
    said = screenshot(folder / "report.html", tmp_path / "page.png", view)
    assert said.startswith(f"{tmp_path}/page.png")
    assert Image.open(tmp_path / "page.png").size == (1280, 700)
    assert len(set(Image.open(tmp_path / "page.png").convert("RGB").getdata())) > 50  # something is drawn
