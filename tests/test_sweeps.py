"""The sweeps of the paper's tables and figures: every size composes, every job can be made, and every cell has one."""

import itertools
import json
import shlex
from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ditto.build import build
from ditto.identity import identity, prepare
from ditto.prompts import clip_requests
from ditto.run import CONF, SEARCH, _search
from ditto.run_of import run_id_of
from ditto.types import UserError
from eval.asked import flat
from eval.cells import Cell, commands
from eval.tables.definition import load, methods_defined, numbers
from eval.tables.sizes import clips_of
from eval.tables.sweeps import in_sweeps

SWEEPS = CONF.parent / "sweeps"
EXPERIMENTS = sorted(path.stem for path in (SWEEPS / "experiment").glob("*.yaml") if path.stem != "methods")
TABLES = [name for name in EXPERIMENTS if name.startswith("paper_table")]
SIZES = ("paper", "here", "smoke")
ABOUT_SIZE = ("prompts_n", "prompts_repeat", "pictures", "text_only_beside", "budget_gib")
COLUMNS = OmegaConf.to_container(OmegaConf.load(CONF / "tables.yaml"))["columns"]
FIGURES = OmegaConf.to_container(OmegaConf.load(CONF / "figures.yaml"))["drawn"]


@cache
def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", [*overrides, SEARCH], return_hydra_config=True)


def resolved(*overrides):
    """The configuration without Hydra's own part, its interpolations ready to be resolved."""
    cfg = composed(*overrides)
    HydraConfig.instance().set_config(cfg)
    return OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])


@cache
def grid(name, size):
    """The choices of every job of a sweep: the product of its lists."""
    params = composed(f"+experiment={name}", f"size={size}").hydra.sweeper.params or {}
    lists = {key: str(value).split(",") for key, value in params.items()}
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]


def words(choices, but=()):
    return tuple(f"{key}={value}" for key, value in choices.items() if key not in but)


def pair(name, choices):
    """Task and method of a job."""
    chosen = composed(f"+experiment={name}", *words(choices, but=("method",))).hydra.runtime.choices
    return chosen.task, choices.get("method", chosen.method)


@cache
def settings(part, *overrides):
    """The options under `method`, or all but these, that change a result whatever the size; numbers as numbers."""
    options = flat(OmegaConf.to_container(composed(*overrides)))
    return frozenset(
        (key, float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value))
        for key, value in options.items()
        if key not in ABOUT_SIZE
        and not key.startswith(("hydra.", "names."))
        and "memory" not in key.split(".")
        and key.startswith("method.") == (part == "method")
    )


def said(page):
    """The sweeps that a page names: the words of each command."""
    lines = [line.split(" # ")[0].strip() for line in (CONF.parent / page).read_text().splitlines()]
    return [shlex.split(line)[4:] for line in lines if line.startswith("python -m ditto.run -m ")]


@pytest.mark.parametrize("words", [one for page in ("docs/sweeps.md", "sweeps/README.md") for one in said(page)])
def test_the_commands_of_the_pages_compose(words):
    chosen = OverridesParser.create().parse_overrides([word for word in words if not word.startswith("hydra")])
    ends = [
        list(one.sweep_string_iterator()) if one.is_sweep_override() else [one.get_value_element_as_str()]
        for one in chosen
    ]
    for end in (0, -1):
        job = [f"{one.get_key_element()}={values[end]}" for one, values in zip(chosen, ends, strict=True)]
        OmegaConf.to_container(resolved(*job).task, resolve=True)


def test_every_table_and_figure_has_its_sweep():
    assert sorted(f"paper_table{number}" for number in numbers()) == TABLES
    measured = {"guidance"}  # by a command of its own, without runs: python -m ditto.training.quality
    of_figures = {f"paper_figure{name}" if name.isdigit() else name for name in FIGURES} - measured
    assert of_figures == set(EXPERIMENTS) - set(TABLES)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_sweep_composes_at_every_size_and_says_what_it_costs_and_is_to_reach(name):
    for size in SIZES:
        cfg = composed(f"+experiment={name}", f"size={size}")
        assert cfg.hydra.runtime.choices.size == size
        OmegaConf.to_container(resolved(f"+experiment={name}", f"size={size}").task, resolve=True)
    text = (SWEEPS / "experiment" / f"{name}.yaml").read_text()
    assert f"+experiment={name}" in text
    assert "Cost" in text or "Seen" in text
    assert "Aim" in text or name == "latents"


@pytest.mark.parametrize("name", [name for name in TABLES if name != "paper_table7"])  # of recordings
def test_a_table_has_the_papers_number_of_clips(name):
    cfg = composed(f"+experiment={name}")
    assert (cfg.prompts_n, cfg.prompts_repeat, cfg.prompts_split, cfg.batch_size) == (2500, True, "test", None)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_job_can_be_made_is_small_at_smoke_and_is_a_run_of_its_own(name):
    ids, built = set(), set()
    jobs = grid(name, "smoke")
    jobs = jobs[:: 1 + len(jobs) // 33]  # of a long list, some
    for choices in jobs:
        prepared = prepare(resolved(f"+experiment={name}", "size=smoke", *words(choices)), device="cpu")
        ids.add(prepared.run.id)
        options = prepared.options
        assert len(prepared.clips) <= (20 if name == "paper_figure10" else 2)
        assert options["sampler"]["steps"] <= 6
        assert options["task"]["steps"] <= 2
        for part, what in (
            (options["task"]["control"], "task"),
            (options["method"], "method"),
            (options["sampler"], "s"),
        ):
            if json.dumps(part) not in built:
                assert build(part, what) is not None
            built.add(json.dumps(part))
    assert len(ids) == len(jobs)


def test_pairs_without_a_meaning_are_where_the_tables_leave_a_place_empty():
    defined = methods_defined()
    pairs = {
        (name, *pair(name, choices)) for name in TABLES if name != "paper_table7" for choices in grid(name, "paper")
    }
    assert {job for job in pairs if job[1] not in defined.get(job[2], [job[1]])} == {
        ("paper_table3", "structure", "controlnet"),
        ("paper_table4", "intensity", "multidiffusion_50"),
        ("paper_table4", "melody", "multidiffusion_50"),
        ("paper_table4", "outpainting", "controlnet"),
        ("paper_table6", "intensity_correlation", "controlnet"),  # defined, but a row of its own in no table
        ("paper_table9", "intensity_outpainting", "controlnet"),
        ("paper_table9", "intensity_structure", "controlnet"),
        ("paper_table9", "intensity_outpainting", "readout"),
    }


@pytest.mark.parametrize("number", [n for n in numbers() if n not in (7, 10)])
def test_every_cell_of_a_table_is_made_by_its_sweep(number):
    name, methods = f"paper_table{number}", {}
    for choices in grid(name, "paper"):
        made = settings("task", f"+experiment={name}", *words(choices, but=("method",)))
        methods.setdefault(made, set()).add(pair(name, choices)[1])
    table = load(number, COLUMNS)
    cells = {table.cell(row, block) for row, block in table.crossings(methods_defined())}
    assert cells
    for cell in cells:
        wanted = settings("task", "+experiment=methods", f"task={cell.task}", *cell.overrides)
        compared = {cell.method} if number != 4 else set(cell.method.split(" vs "))  # two at a time
        assert compared <= methods.get(wanted, set()), cell


@pytest.mark.parametrize("name", [name for name in TABLES if name not in ("paper_table7", "paper_table10")])
def test_a_sweep_changes_no_method(name):
    method = composed(f"+experiment={name}").hydra.runtime.choices.method
    same = settings("method", "+experiment=methods", f"method={method}")
    assert settings("method", f"+experiment={name}") == same


@pytest.mark.parametrize("number", [7, 10])
def test_inversion_and_reuse_are_swept_as_their_tables_are(number):
    swept = grid(f"paper_table{number}", "paper")
    table = load(number, COLUMNS)
    for row, block in table.crossings({}):
        overrides = [one.split("=", 1) for one in table.cell(row, block).overrides if not one.startswith("size=")]
        of_row = {"method.prompts" if key == "prompts" else key: value for key, value in row.match.items()}
        wanted = {**dict(overrides), **of_row, "method": row.method} | ({"task": block.task} if number == 10 else {})
        assert any(wanted.items() <= choices.items() for choices in swept), wanted


@pytest.mark.parametrize("number", [name for name, one in FIGURES.items() if "tasks" in one["draw"]])
def test_every_run_that_a_figure_shows_is_made_by_its_sweep(number):
    name = f"paper_figure{number}" if number.isdigit() else number
    made = {pair(name, choices) for choices in grid(name, "here")}
    first = FIGURES[number]["draw"].get("methods", ["low_band"])
    methods = first if number == "4" else first[:1]  # of the others the first that has a run
    assert {(task, method) for task in FIGURES[number]["draw"]["tasks"] for method in methods} <= made


# What the sweeps at size=here ask for, with the weights that ship: another id means that finished runs are made again.
@pytest.mark.parametrize(
    ("name", "choices", "run_id"),
    [
        ("paper_table1", ["setting=outpainting_1s", "method=masking"], "6265317bdfb3c8e9"),
        ("paper_table2", ["setting=inpainting_2s", "method=freedom"], "d40353ac37f3b53e"),
        ("paper_table3", ["task=melody", "method=controlnet"], "a2353a88dbfe5a2a"),
        ("paper_table6", ["task=intensity_correlation", "method=ditto"], "da7356ddc00f5be8"),
        ("paper_table8", ["task=outpainting", "sampler=dpmpp"], "e307af6478419c1a"),
        ("paper_figure6", ["method=ditto"], "65c647075c44f44a"),
        ("paper_figure7", ["method=ditto"], "2b9d0f20db394516"),
        ("paper_figure8", ["task=intensity_outpainting"], "ca9f5f607937830b"),
        ("paper_figure9", ["task=intensity_melody"], "602c8ee913af78c5"),
        ("paper_figure10", ["method=shared_noise"], "142fbcbecb424e0f"),
    ],
)
def test_what_results_were_made_with_is_recognised(name, choices, run_id):
    cfg = resolved(f"+experiment={name}", "size=here", *choices)
    assert prepare(cfg, device="cpu").run.id == run_id


def test_a_run_is_found_by_the_command_that_makes_it():
    assert run_id_of(("+experiment=main_job_intensity",)) == "b26738afed3f783d"
    cfg = resolved("+experiment=paper_table10", "size=here", "noise=main_job", "task=intensity", "runs_dir=here/runs")
    assert prepare(cfg, device="cpu").options["method"]["run"] == "here/runs/b26738afed3f783d"
    fresh = resolved("+experiment=paper_table10", "size=smoke", "noise=fresh", "task=intensity")
    assert prepare(fresh, device="cpu").options["method"]["run"] is None


def test_a_run_is_found_from_inside_a_job_which_goes_on_as_before():
    settings = composed("+experiment=paper_table3", "size=here")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        HydraConfig.instance().set_config(settings)
        running = GlobalHydra.instance().hydra
        assert run_id_of.__wrapped__(("+experiment=main_job_intensity",)) == "b26738afed3f783d"
        assert GlobalHydra.instance().hydra is running
        assert HydraConfig.instance().cfg.hydra.runtime.choices.size == "here"


@pytest.mark.parametrize("size", ["here", "smoke"])
def test_reuse_begins_with_what_the_sweep_of_table_3_leaves(size):
    source = resolved("+experiment=paper_table3", f"size={size}", "task=melody", "method=ditto")
    cfg = resolved("+experiment=paper_table10", f"size={size}", "noise=optimised", "task=melody")
    run = prepare(cfg, device="cpu").options["method"]["run"]
    HydraConfig.instance().set_config(
        composed("+experiment=paper_table3", f"size={size}", "task=melody", "method=ditto")
    )
    assert run == f"runs/{prepare(source, device='cpu').run.id}"


def test_missing_cells_are_said_as_a_part_of_their_tables_sweep():
    cells = [Cell("methods", "outpainting", m, ("task.control.overlap_s=1",)) for m in ("ditto", "doodl")]
    assert commands(in_sweeps(1, cells, "here")) == [
        "python -m ditto.run -m +experiment=paper_table1 size=here setting=outpainting_1s method=ditto,doodl"
    ]
    (said,) = in_sweeps(5, [Cell("methods", "intensity", "ditto", ("size=smoke", "sampler.steps=6"))], "smoke")
    assert said.overrides == ("size=smoke", "sampler.steps=6")
    elsewhere = Cell("methods", "brightness", "ditto")
    assert in_sweeps(1, [elsewhere], "here") == [elsewhere]
    assert clips_of("paper") == 2500
    with pytest.raises(UserError, match="choose here, paper, smoke"):
        clips_of("large")


def test_more_prompts_than_the_split_has_go_round_with_new_seeds():
    few = {"prompts_split": "test", "prompts_offset": 0, "prompts_n": 2500, "seed": 0}
    with pytest.raises(UserError, match="prompts_repeat=true"):
        clip_requests(few)
    clips = clip_requests(few | {"prompts_repeat": True})
    assert len(clips) == len({clip.clip_id for clip in clips}) == len({clip.seed for clip in clips}) == 2500
    assert clips[0].prompt == clips[225].prompt
    assert clips[0].seed != clips[225].seed
    assert [clip.prompt for clip in clip_requests(few | {"prompts_n": 8})] == [clip.prompt for clip in clips[:8]]


def test_going_round_is_part_of_the_clips_and_not_of_the_runs_name():
    cfg = OmegaConf.create(OmegaConf.to_container(composed("+experiment=methods"), resolve=False))
    plain = OmegaConf.masked_copy(cfg, [key for key in cfg if key not in ("hydra", "names")])
    clips = clip_requests(OmegaConf.to_container(plain, resolve=True))
    again = OmegaConf.merge(plain, {"prompts_repeat": True})
    assert identity(plain, clips) == identity(again, clips)


def test_sweeps_are_found_from_any_folder_and_a_path_of_ones_own_is_kept():
    assert SEARCH.startswith('hydra.searchpath=["file:///')
    assert _search(["-m", "task=melody", "--cfg", "job"]) == ["-m", SEARCH, "task=melody", "--cfg", "job"]
    assert _search(["--help"]) == ["--help", SEARCH]
    own = ["hydra.searchpath=[file://here]", "task=melody"]
    assert _search(own) == own
