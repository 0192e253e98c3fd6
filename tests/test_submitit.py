"""The submitit engines without a cluster: jobs that return nothing, and jobs that an earlier launch left behind."""

import json
import subprocess
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.utils import instantiate
from submitit import SlurmJob
from submitit.core.utils import cloudpickle_dump

from ditto import runs
from ditto.run import main
from ditto.sweeping import slurm_queue, submitit, tickets
from ditto.sweeping.slurm_queue import Entry
from tests.test_conf import composed

TOY = ["+debug=default", "text_only_beside=false", "pictures=false", "progress=false", "memory=store"]


@pytest.fixture
def ticket(tmp_path):
    return tickets.Ticket(SlurmJob(folder=tmp_path, job_id="12_3"), ["aa", "bb"])


def returned(value):
    return JobReturn(status=JobStatus.COMPLETED, _return_value=value)


def run_directory(folder, name, status):
    (folder / name).mkdir()
    (folder / name / "status.json").write_text(json.dumps({"status": status}))


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_every_parameter_of_an_engine_is_known_to_submitit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    engine = instantiate(composed("run", f"hydra/launcher={name}").hydra.launcher.engine)
    executor = {"slurm": "submitit.SlurmExecutor", "local": "submitit.LocalExecutor"}[name]
    monkeypatch.setattr(f"{executor}._internal_process_submissions", lambda self, jobs: [])
    assert engine.submit(tmp_path, [lambda: None], []) == []
    assert engine.runs_per_job == 1


def test_a_job_has_the_cpus_and_threads_that_it_was_given(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    scripts = []

    def sbatch(command, **_):
        scripts.append(Path(command[-1]).read_text())
        return lambda: "Submitted batch job 12"

    monkeypatch.setattr("submitit.core.utils.CommandFunction", sbatch)
    config = composed("run", "hydra/launcher=slurm", "hydra.launcher.engine.gpus_per_task=1")
    engine = instantiate(config.hydra.launcher.engine, setup=["module load cuda"])
    engine.submit(tmp_path / "sweep" / "slurm", [len, len], [["aa"], ["bb"]])
    for line in (
        "--array=0-1%2",
        "--cpus-per-task=2",
        "--gpus-per-task=1",
        "--signal=USR2@120",
        "--time=240",
        "--requeue",
    ):
        assert f"#SBATCH {line}\n" in scripts[0]
    for line in ("OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}", "SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}"):
        assert f"\nexport {line}\n" in scripts[0]
    assert scripts[0].index("module load cuda") < scripts[0].index("\nsrun ")


def test_results_are_read_and_their_files_removed(ticket, tmp_path):
    cloudpickle_dump(("success", [returned(1), returned(2)]), ticket.result_file)
    values = tickets.read_result(ticket, tmp_path)
    assert {run: one.return_value for run, one in values.items()} == {"aa": 1, "bb": 2}
    assert not ticket.result_file.exists()


@pytest.mark.parametrize(
    ("state", "of_aa", "expected"),
    [
        ("CANCELLED", None, {"aa": "interrupted", "bb": "interrupted"}),
        ("CANCELLED", "failed", {"bb": "interrupted"}),
        ("CANCELLED", "running", {"aa": "interrupted", "bb": "interrupted"}),  # killed before it could say so
    ],
)
def test_what_was_cancelled_is_not_started_again_by_itself(ticket, tmp_path, capsys, state, of_aa, expected):
    if of_aa:
        run_directory(tmp_path, "aa", of_aa)
    returns = tickets.without_result(ticket, state, tmp_path)
    assert {run: one.return_value.status for run, one in returns.items()} == expected
    assert "job 12_3 returned nothing (CANCELLED)" in capsys.readouterr().err


def test_the_directories_tell_of_runs_whose_job_died(ticket, tmp_path):
    run_directory(tmp_path, "aa", "running")
    assert tickets.without_result(ticket, "NODE_FAIL", tmp_path) == {}


def test_a_job_that_fails_before_its_first_run_says_why(ticket, tmp_path):
    run_directory(tmp_path, "aa", "interrupted")
    trace = "Traceback (most recent call last):\n  ...\nModuleNotFoundError: No module named 'ditto'\n"
    cloudpickle_dump(("error", trace), ticket.result_file)
    (run, failed), *others = tickets.read_result(ticket, tmp_path).items()
    assert not others
    assert run == "bb"
    assert failed.return_value.status == "failed"
    assert "No module named 'ditto'" in failed.return_value.reason
    assert "12_3_0_log.out" in failed.return_value.reason


def test_only_a_job_gone_for_a_while_is_given_up(ticket, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert not ticket.overdue(gone=True)
    now[0] += tickets.GRACE_S - 1
    assert not ticket.overdue(gone=True)
    assert not ticket.overdue(gone=False), "it was requeued"
    now[0] += 2
    assert not ticket.overdue(gone=True)
    now[0] += tickets.GRACE_S + 1
    assert ticket.overdue(gone=True)


def test_jobs_of_an_earlier_launch_are_recalled_while_they_are_in_the_queue(ticket, tmp_path):
    tickets.record(tmp_path, "sweep-1", [ticket])
    active, same_number = Entry("PENDING", "sweep-1"), Entry("RUNNING", "another-2")
    (recalled,) = tickets.recall(tmp_path, ["bb", "cc"], {"12_3": active})
    assert (recalled.job.job_id, recalled.runs, recalled.recalled) == ("12_3", ["aa", "bb"], True)
    assert tickets.recall(tmp_path, ["cc"], {"12_3": active}) == []
    assert tickets.recall(tmp_path, ["bb"], {"12_3": same_number}) == []
    assert tickets.recall(tmp_path, ["bb"], {"12_3": Entry("CANCELLED", "sweep-1")}) == []
    assert tickets.recall(tmp_path, ["bb"], {}) == []


def test_the_queue_is_read_and_silence_means_nothing_is_known(ticket, monkeypatch, capsys):
    def squeue(*_, **__):
        return subprocess.CompletedProcess([], 0, "12_3|RUNNING|sweep|1\n13|OUT_OF_MEMORY|other\n")

    monkeypatch.setattr(subprocess, "run", squeue)
    assert slurm_queue.queue() == {"12_3": Entry("RUNNING", "sweep|1"), "13": Entry("OUT_OF_MEMORY", "other")}
    engine = submitit.Slurm()
    assert engine.ended([ticket]) == {}
    ticket.job._job_id = "13"
    assert engine.ended([ticket]) == {"13": "OUT_OF_MEMORY"}
    ticket.job._job_id = "14"
    assert engine.ended([ticket]) == {"14": "gone"}

    def silence(*_, **__):
        raise subprocess.TimeoutExpired("squeue", 120)

    monkeypatch.setattr(subprocess, "run", silence)
    assert slurm_queue.queue() is None
    assert engine.ended([ticket]) == engine.ended([ticket]) == {}
    assert capsys.readouterr().err.count("Slurm does not answer") == 1


def test_an_array_ends_before_the_next_is_submitted(ticket):
    engine = submitit.Slurm(array_size=3)
    assert engine.room([]) == 3
    assert engine.room([ticket]) == 0
    ticket.recalled = True
    assert engine.room([ticket]) == 3
    assert submitit.Local(processes=4).room([ticket]) == 3


def test_local_makes_a_process_a_job(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    engine = ["hydra/launcher=local", "hydra.launcher.engine.processes=1", "hydra.launcher.engine.runs_per_job=2"]
    assert main(["-m", *engine, *TOY, "seed=0,1"]) == 0
    assert "2 runs: 2 done" in capfd.readouterr().out
    assert sorted(runs.load_runs("runs").seed) == [0, 1]
    (log,) = Path("runs/.sweeps").glob("*/local/*_log.out")
    assert log.read_text().count("done in") == 2
