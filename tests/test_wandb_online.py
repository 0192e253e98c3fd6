"""Online, against a server of our own: what W&B would have of a run, of a resumed one, and of one uploaded later."""

import pytest
from wandb.sdk.lib import wbauth

from ditto.loggers import WandbMirror, service, session
from ditto.loggers.curves import replay
from ditto.loggers.sync import sync
from tests.wandb_cases import config_of, faked
from tests.wandb_server import serving


@pytest.fixture
def server(monkeypatch, tmp_path):
    service.end()
    with serving() as running:
        monkeypatch.setenv("WANDB_BASE_URL", running.url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.delenv("WANDB_MODE", raising=False)
        yield running
        service.end()
        wbauth.unauthenticate_session(update_settings=False)
        session.unreachable.end()


def mirrored(path, steps, status):
    """One attempt at a run that comes as far as `steps` rows."""
    logger = WandbMirror(patience_s=60)
    logger.start(path.name, path, config_of(path))
    for row in list(replay(path))[:steps]:
        logger.step(row)
    logger.close(status)


def curve(server, run_id, x, y):
    rows = [server.history[run_id][number] for number in sorted(server.history[run_id])]
    return [(row[x], row[y]) for row in rows if x in row and y in row]


LOSSES = [sum(1.0 * k + 0.5**s for k in batch) / len(batch) for batch in ([0, 1], [2]) for s in range(4)]


def whole(server, run_id):
    """Every row is there once, and nothing else."""
    steps, losses = zip(*curve(server, run_id, "optimisation/step", "optimisation/loss"), strict=True)
    assert list(steps) == list(range(8))
    assert losses == pytest.approx(LOSSES)
    assert [x for x, _ in curve(server, run_id, "curve/step", "curve/loss")] == [0, 1, 2, 3]
    assert len(server.history[run_id]) == 8 + 4 + 1
    assert server.summary[run_id]["control/ratio"] == pytest.approx(39 / 80)
    assert server.summary[run_id]["status"] == "done"
    return True


def test_with_a_key_it_is_online_and_a_resumed_run_goes_on_where_it_was(server, tmp_path, capsys):
    path = faked(tmp_path / "run1")
    mirrored(path, 3, "interrupted")
    assert [x for x, _ in curve(server, "run1", "optimisation/step", "optimisation/loss")] == [0, 1, 2]
    mirrored(path, 8, "done")  # the batch again, from its first step
    assert "RunResumeStatus" in server.asked
    assert whole(server, "run1")
    assert sync([path], "ditto", "me", True) == [("run1", "synced already")]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arrived", [2, 5, 10, 12])
def test_what_was_lost_on_the_way_is_uploaded_later_and_nothing_twice(server, tmp_path, arrived):
    path = faked(tmp_path / "run2")
    mirrored(path, 8, "done")
    (path / "wandb" / "mirrored.json").unlink()  # its end was not confirmed
    server.history["run2"] = {n: row for n, row in server.history["run2"].items() if n < arrived}
    server.summary["run2"] = {}
    assert sync([path], "ditto", "me", False) == [("run2", "uploaded")]
    again = arrived - 8 if arrived == 10 else 0  # a curve that arrived in part is logged as a whole
    assert len(server.history["run2"]) == 13 + again
    assert len(curve(server, "run2", "optimisation/step", "optimisation/loss")) == 8


def test_a_run_made_again_adds_nothing_to_what_wandb_has(server, tmp_path):
    mirrored(faked(tmp_path / "one" / "run3"), 8, "done")
    mirrored(faked(tmp_path / "two" / "run3"), 8, "done")
    assert whole(server, "run3")


def test_a_run_without_wandb_is_uploaded_as_a_whole(server, tmp_path):
    path = faked(tmp_path / "run4")
    assert sync([path], "ditto", "me", False) == [("run4", "uploaded")]
    assert whole(server, "run4")
    assert any(name.startswith("media/table/clip_table") for name in server.uploads)
    assert sync([path], "ditto", None, False) == [("run4", "synced already")]


def test_where_the_server_takes_no_tables_the_numbers_arrive_and_the_run_is_uploaded_again_later(
    server, tmp_path, monkeypatch, capsys
):
    path = faked(tmp_path / "run5")
    with monkeypatch.context() as patch:
        patch.setattr(session, "log_clips", _refused)
        mirrored(path, 8, "done")
    assert server.summary["run5"]["melody_accuracy"] == 61
    assert "no room for artifacts" in capsys.readouterr().err
    assert sync([path], "ditto", "me", False) == [("run5", "uploaded")]
    assert whole(server, "run5")


def _refused(*_):
    raise RuntimeError("no room for artifacts")
