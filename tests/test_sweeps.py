"""The sweeps of the paper's size: they compose, and make every run that the tables want."""

import itertools
from functools import cache

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ditto.identity import identity
from ditto.prompts import clip_requests
from ditto.run import CONF, SEARCH, _search
from ditto.types import UserError
from eval.asked import flat
from eval.tables.definition import load, methods_defined, numbers

SWEEPS = CONF.parent / "sweeps"
PAPER = sorted(path.stem for path in (SWEEPS / "experiment").glob("paper_*.yaml"))
SIZE = ("prompts_n", "prompts_repeat", "batch_size", "pictures")
COLUMNS = OmegaConf.to_container(OmegaConf.load(CONF / "tables.yaml"))["columns"]


@cache
def composed(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("run", [*overrides, SEARCH], return_hydra_config=True)


@cache
def jobs():
    """(experiment, task, method, choices of the experiment without the method) of every job of the sweeps."""
    return [job for name in PAPER if name != "paper_size" for job in jobs_of(name)]


def jobs_of(name):
    """The product of the sweep's lists."""
    cfg = composed(f"+experiment={name}")
    lists = {key: str(value).split(",") for key, value in (cfg.hydra.sweeper.params or {}).items()}
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        method = chosen.pop("method", cfg.hydra.runtime.choices.method)
        choices = tuple(f"{key}={value}" for key, value in chosen.items())
        yield name, composed(f"+experiment={name}", *choices).hydra.runtime.choices.task, method, choices


@cache
def settings(part, *overrides):
    """The options under `method`, or all but these, that change a result whatever the size; numbers as numbers."""
    options = flat(OmegaConf.to_container(composed(*overrides)))
    return frozenset(
        (key, float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value))
        for key, value in options.items()
        if key not in SIZE
        and not key.startswith(("hydra.", "names."))
        and "memory" not in key.split(".")
        and key.startswith("method.") == (part == "method")
    )


@pytest.mark.parametrize("name", PAPER)
def test_every_sweep_composes_and_says_its_cost(name):
    cfg = composed(f"+experiment={name}")
    OmegaConf.to_container(cfg.task, resolve=True)
    assert "ESTIMATE" in (SWEEPS / "experiment" / f"{name}.yaml").read_text()
    if not name.startswith("paper_table7"):
        assert (cfg.prompts_n, cfg.prompts_repeat, cfg.prompts_split) == (2500, True, "test")


def test_no_job_asks_a_method_for_a_task_it_is_not_defined_on():
    defined = methods_defined()
    for _, task, method, _ in jobs():
        assert task in defined.get(method, [task]), (task, method)


def test_every_cell_of_the_tables_is_made_by_a_sweep():
    made = {(method, settings("task", f"+experiment={name}", *choices)) for name, _, method, choices in jobs()}
    for number in (n for n in numbers() if n not in (4, 7, 10, 11)):  # of listeners; below; of eval.efficiency
        table = load(number, COLUMNS)
        cells = {table.cell(row, block) for row, block in table.crossings(methods_defined())}
        assert cells
        for cell in cells:
            wanted = settings("task", "+experiment=methods", f"task={cell.task}", *cell.overrides)
            assert (cell.method, wanted) in made, (number, cell)


@pytest.mark.parametrize("name", [name for name in PAPER if not name.startswith(("paper_table7", "paper_table10"))])
def test_a_sweep_changes_no_method(name):
    method = composed(f"+experiment={name}").hydra.runtime.choices.method
    same = settings("method", "+experiment=methods", f"method={method}")
    assert settings("method", f"+experiment={name}") == same


@pytest.mark.parametrize("number", [7, 10])
def test_inversion_and_reuse_are_swept_as_their_experiments_are(number):
    swept = [(method, set(choices)) for name, _, method, choices in jobs() if f"table{number}" in name]
    table = load(number, COLUMNS)
    for row, block in table.crossings({}):
        wanted = {
            *table.cell(row, block).overrides,
            *(f"method.prompts={v}" for k, v in row.match.items() if k == "prompts"),
        }
        assert any(method == row.method and wanted <= choices for method, choices in swept), (row, block)


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
