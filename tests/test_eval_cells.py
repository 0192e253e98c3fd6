"""The commands that make the runs of cells: few, and exactly these."""

from eval.cells import Cell, commands


def cells(tasks, methods, *overrides):
    return [Cell("methods", task, method, overrides) for task in tasks for method in methods]


def test_methods_of_one_setting_are_one_sweep():
    made = commands(cells(["outpainting"], ["ditto", "masking"], "task.control.overlap_s=1"))
    assert made == [
        "python -m ditto.run -m +experiment=methods task=outpainting task.control.overlap_s=1 method=ditto,masking"
    ]


def test_settings_and_tasks_of_the_same_methods_are_joined():
    some = [cell for w in (0, 4) for cell in cells(["inversion"], ["null_text"], f"sampler.guidance_scale={w}")]
    assert commands(some) == [
        "python -m ditto.run -m +experiment=methods task=inversion sampler.guidance_scale=0,4 method=null_text"
    ]
    assert commands(cells(["intensity", "melody"], ["ditto"])) == [
        "python -m ditto.run -m +experiment=methods task=intensity,melody method=ditto"
    ]


def test_a_grid_with_a_hole_is_not_filled():
    some = [*cells(["intensity"], ["ditto", "controlnet"]), *cells(["structure"], ["ditto"])]
    assert [line.partition("task=")[2] for line in commands(some)] == [
        "intensity method=ditto,controlnet",
        "structure method=ditto",
    ]


def test_one_run_is_no_sweep_and_a_list_is_one_value():
    assert Cell("methods", "intensity", "ditto").command == (
        "python -m ditto.run +experiment=methods task=intensity method=ditto"
    )
    said = Cell("paper_table7", "inversion", "null_text", ('prompt=["a, b","c"]',)).command
    assert (
        said == 'python -m ditto.run +experiment=paper_table7 task=inversion \'prompt=["a, b","c"]\' method=null_text'
    )


def test_options_of_one_sweep_do_not_leak_into_another():
    some = [*cells(["intensity"], ["ditto"], "sampler.steps=50"), *cells(["intensity"], ["ditto"])]
    assert [("steps=50" in line) for line in commands(some)] == [True, False]
