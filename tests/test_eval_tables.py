"""The paper's tables from made-up runs: what is bold, empty, counted, reported, and how it is written."""

import re
import shlex
import warnings

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.run import CONF, SEARCH
from ditto.types import UserError
from eval.fad import SmallSetWarning
from eval.orders import printed
from eval.tables import base, command, latex
from eval.tables.__main__ import main
from eval.tables.base import Filled
from eval.tables.definition import numbers
from eval.tables.grid import panels, reported
from tests.table_cases import config, definition, line, long, made, told, without_sound, written


@pytest.fixture(autouse=True)
def _no_sound(monkeypatch):
    without_sound(monkeypatch)


def test_every_reported_figure_has_one_place():
    for number in range(1, 12):
        places = reported(definition(number))
        assert sorted(places.values()) == sorted(printed([number])["value"]), number


def test_settings_are_what_their_labels_say(tmp_path):
    cells = {}
    tables, context = command.prepare(config(tmp_path, "tables=[1,2,5]"))
    names = ("task.control.overlap_s", "task.control.gap_s", "sampler.steps")
    for table in tables:
        for block in table.blocks:
            asked = context.runs.asked(table.cell(table.rows[-1], block))
            cells.setdefault(block.setting, set()).add(tuple(asked.get(name) for name in names))
    for k in (1, 2, 3):
        assert {overlap for overlap, _, _ in cells[f"o={k}"]} == {k}
        assert {gap for _, gap, _ in cells[f"gap={k + 1}"]} == {k + 1}
    assert {steps for _, _, steps in cells["T=20"]} == {20}
    assert {steps for _, _, steps in cells["T=50"]} == {50}


def test_the_best_is_bold_beside_the_reported_figure(tmp_path):
    made(tmp_path, "text_only", [0.01, 0.01])  # would be best if it controlled
    made(tmp_path, "freedom", [1.0, 3.0])
    made(tmp_path, "ditto", [1.0, 2.0])
    made(tmp_path, "controlnet", [9.0, 9.5])
    text = written(tmp_path, 3)["md"]
    assert line(text, "Text-only")[1:3] == ["0.01 [0.01, 0.01]", "40.843"]
    assert line(text, "DITTO")[1:3] == ["**1.5** [1, 2]", "**4.758**"]
    assert line(text, "FreeDoM")[1:3] == ["2 [1, 3]°", "23.292"]  # the intervals overlap
    assert line(text, "ControlNet")[1:3] == ["9.25 [9, 9.5]", "38.411"]
    assert line(text, "DITTO")[-1] == "2"


def test_higher_is_better_for_accuracy(tmp_path):
    for method, values in {"freedom": [10.0, 12.0], "ditto": [80.0, 90.0]}.items():
        made(tmp_path, method, values, task="melody", metric="melody_accuracy")
    text = written(tmp_path, 3)["md"].partition("## Melody")[2]
    assert line(text, "DITTO")[1] == "**85** [80, 90]"
    assert line(text, "FreeDoM")[1] == "11 [10, 12]"


def test_a_missing_cell_is_empty_and_wants_its_run(tmp_path):
    made(tmp_path, "ditto", [1.0, 2.0])
    files = written(tmp_path, 3)
    assert line(files["md"], "DOODL")[1:3] == ["", "4.785"]
    wanted = "python -m ditto.run -m +experiment=methods task=intensity method="
    missing = files["md"].partition("## Missing")[2]
    assert f"{wanted}text_only,controlnet,freedom,doodl,guidance_gradients,readout,doodl_stop,ditto_stop" in missing
    rows = long(tmp_path, 3).set_index(["task", "method", "column"])
    empty = rows.loc["intensity", "doodl", "intensity_mse"]
    assert (empty["ours"], empty["reported"]) == ("", "4.785")
    assert empty["command"] == "python -m ditto.run +experiment=methods task=intensity method=doodl"
    assert "structure" in missing


def test_a_failed_clip_is_counted_named_and_in_no_mean(tmp_path):
    made(tmp_path, "ditto", [1.0, {"failed": "NaN"}])
    text = written(tmp_path, 3)["md"]
    assert line(text, "DITTO")[1] == "1"
    assert line(text, "DITTO")[-1] == "1 (1 failed)"
    assert "1 clip of ditto on intensity failed: 001_song_s1" in text
    assert set(long(tmp_path, 3).query("method == 'ditto' and task == 'intensity'")["failed"]) == {0, 1}


def test_a_run_of_other_options_is_left_out_with_the_reason(tmp_path, capsys):
    made(tmp_path, "ditto", [1.0, 2.0], name="good")
    made(tmp_path, "ditto", [0.0, 0.0], name="other", when=9.0, sampler__steps=10)
    assert line(written(tmp_path, 3)["md"], "DITTO")[1] == "1.5 [1, 2]"
    assert "left out: run other (ditto on intensity), sampler.steps=10, not 20" in capsys.readouterr().err


def test_settings_of_one_task_are_not_mixed(tmp_path):
    for k, value in {1: 0.1, 2: 0.2, 3: 0.3}.items():
        made(tmp_path, "masking", [value] * 2, "outpainting", f"o{k}", metric="overlap_mse", task__control__overlap_s=k)
    written(tmp_path, 1)
    rows = long(tmp_path, 1).query("method == 'masking' and column == 'overlap_mse' and task == 'outpainting'")
    assert rows[["setting", "ours", "run"]].values.tolist() == [
        ["o=1", "0.1", "o1"], ["o=2", "0.2", "o2"], ["o=3", "0.3", "o3"]
    ]  # fmt: skip


def test_columns_and_provenance_of_the_csv(tmp_path):
    made(tmp_path, "ditto", [1.0, 2.0])
    written(tmp_path, 3)
    rows = long(tmp_path, 3)
    assert ",".join(rows.columns) == (
        "table,task,method,label,setting,column,metric,ours,low,high,n,failed,reported,run,commit,checkpoint,device,"
        "reference,command,note"
    )
    fad = rows.set_index(["task", "method", "column"]).loc["intensity", "ditto", "fad"]
    assert (fad["metric"], fad["reported"], fad["reference"], fad["n"]) == ("fad_pc8", "0.682", "500 clips", "2")
    assert (fad["run"], fad["commit"], fad["checkpoint"], fad["device"]) == ("intensity-ditto-1.0", "abc", "w", "a CPU")


def test_the_page_says_where_its_figures_come_from(tmp_path):
    made(tmp_path, "ditto", [1.0, 2.0])
    text = written(tmp_path, 3)["md"]
    for said in (
        "device: a CPU",
        "commits: abc",
        "checkpoint: w",
        "reference or judge of FAD: 500 clips",
        "FAD (fad_pc8) ↓",
    ):
        assert said in text
    assert "python -m ditto.run +experiment=methods task=intensity method=ditto\n" in text


def test_what_was_warned_of_stands_below_the_table_once(tmp_path, monkeypatch):
    def warning(one, text_only, judges):
        warnings.warn("too few windows", SmallSetWarning, stacklevel=1)
        return told(one, text_only, judges)

    monkeypatch.setattr(base, "rows", warning)
    made(tmp_path, "ditto", [1.0, 2.0])
    made(tmp_path, "freedom", [1.0, 2.0])
    assert written(tmp_path, 3)["md"].count("- too few windows") == 1


def test_panels_stand_below_each_other(tmp_path):
    assert [panel.title for panel in panels(definition(7), Filled([]))] == ["6 s", "24 s"]
    assert [panel.title for panel in panels(definition(6), Filled([]))] == [""]


def test_latex_is_ascii_escaped_and_has_rows_of_one_length(tmp_path):
    made(tmp_path, "ditto", [1.0, 2.0])
    for number in (3, 6, 10):
        text = written(tmp_path, number)["tex"]
        assert text.isascii()
        assert not re.search(r"(?<!\\)[%#](?!.*Needs)", text.replace(text.splitlines()[0], ""))
        assert text.count("{") == text.count("}")
        columns = re.search(r"\\begin\{tabular\}\{(l r*)\}".replace(" ", ""), text).group(1)
        body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0]
        for row in (row for row in body.splitlines() if row.endswith(r"\\") and r"\multicolumn" not in row):
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
        for name in ("begin", "end"):
            assert text.count(rf"\{name}{{table}}") == text.count(rf"\{name}{{tabular}}") == 1
    bold = written(tmp_path, 3)["tex"]
    assert r"\textbf{4.758}" in bold


def test_latex_escapes():
    assert latex.escape("fad_pc8 & 95 % of $1 #2 {a} ~ ^ \\") == (
        r"fad\_pc8 \& 95 \% of \$1 \#2 \{a\} \textasciitilde{} \textasciicircum{} \textbackslash{}"
    )
    assert latex.escape("dB² ↓ from x_T*") == r"dB$^2$ $\downarrow$ from $x_T^*$"
    with pytest.raises(ValueError, match="ß"):
        latex.escape("ß")


def composes(command_line):
    """Hydra takes every job of the command."""
    words = shlex.split(command_line.removeprefix("python -m ditto.run "))
    assert words[0] == "-m" or not any("," in word and "[" not in word for word in words)
    chosen = [word.partition(",")[0] if "[" not in word else word for word in words if word != "-m"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("run", [*chosen, SEARCH])
    return OmegaConf.to_container(cfg.method, resolve=True) and OmegaConf.to_container(cfg.task, resolve=True)


def test_missing_prints_commands_that_run_and_computes_nothing(tmp_path, monkeypatch, capsys):
    made(tmp_path, "ditto", [1.0, 2.0])
    monkeypatch.setattr(
        "sys.argv", ["eval.tables", "--missing", f"runs={tmp_path}", f"results={tmp_path}/results", "n=2"]
    )
    main()
    lines = capsys.readouterr().out.splitlines()
    assert not (tmp_path / "results").exists()
    runs = [text for text in lines if text.startswith("python -m ditto.run")]
    assert len(runs) == len(set(runs)) > 5
    assert all(composes(text) for text in runs)
    assert "python -m eval.efficiency" in lines
    assert all("+experiment=paper_table" in text and "size=here" in text for text in runs)
    assert any("setting=outpainting_1s,outpainting_2s,outpainting_3s,looping" in text for text in runs)


def test_a_larger_n_is_part_of_what_is_missing(tmp_path):
    few = command.missing(config(tmp_path, "tables=[6]", "n=32"))
    assert all("prompts_n=32" in text and "prompts_repeat" not in text for text in few)
    many = command.missing(config(tmp_path, "tables=[6]", "n=2500"))
    assert all("prompts_n=2500 prompts_repeat=true" in text and composes(text) for text in many)


def test_the_index_counts_what_is_filled(tmp_path):
    made(tmp_path, "ditto", [1.0, 2.0])
    written(tmp_path, 3)
    written(tmp_path, 6)
    index = (tmp_path / "results/tables/README.md").read_text()
    assert "[Table 6. Two losses for intensity](table6.md)" in index
    assert "| 3 of 12 | 2 |" in index
    assert index.index("table3.md") < index.index("table6.md")


def test_an_unknown_table_is_one_error(tmp_path):
    with pytest.raises(UserError, match="no table 12"):
        command.run(config(tmp_path, "tables=[12]"))
    assert numbers() == list(range(1, 12))
