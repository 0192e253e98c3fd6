"""Jobs as Ray tasks: hydra-ray-launcher, with what a long sweep wants beside it.

A worker that dies costs its own job only: the others' results are kept, and the sweep decides what is launched again.
A job runs in the folder that the sweep was started in, on whatever node: relative paths mean what they say. Nodes of a
cluster therefore share that folder and the Python environment.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra_plugins.hydra_ray_launcher.ray_launcher import RayLauncher
from omegaconf import DictConfig, OmegaConf, open_dict
from tqdm import tqdm


class Ray(RayLauncher):
    """ray.init: how Ray is started or found; ray.remote: what a job takes."""

    config: DictConfig

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """What each job returned, in order; None for one whose worker died."""
        import ray
        from hydra_plugins.hydra_ray_launcher._launcher_util import start_ray

        setup_globals()
        with _same_sigterm():
            start_ray(self.ray_cfg.init)
        options: Any = OmegaConf.to_container(self.ray_cfg.remote, resolve=True)
        run = ray.remote(**options)(_run)
        common = ray.put((os.getcwd(), self.hydra_context, self.task_function, Singleton.get_state()))
        numbered = enumerate(job_overrides, start=initial_job_idx)
        tasks = [run.remote(common, self._composed(overrides, number)) for number, overrides in numbered]
        try:
            _wait(tasks)
        except BaseException:
            ray.shutdown()  # the workers of a sweep that is stopped end before it says how its jobs stand
            raise
        return [_result(task) for task in tasks]  # type: ignore[misc]

    def _composed(self, overrides: Sequence[str], number: int) -> DictConfig:
        assert self.hydra_context is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id, config.hydra.job.num = str(number), number
        return config


@contextmanager
def _same_sigterm() -> Iterator[None]:
    """Ray aborts its driver at SIGTERM; ours ends with a table, as at Ctrl-C."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def _run(common: tuple[Any, ...], config: DictConfig) -> JobReturn:
    """One job, in a worker."""
    from hydra_plugins.hydra_ray_launcher._launcher_util import _run_job

    folder, context, task_function, singletons = common
    os.chdir(folder)
    return _run_job(context, config, task_function, singletons)


def _wait(tasks: Sequence[Any]) -> None:
    """Until every task ended, with a bar."""
    import ray

    waiting = list(tasks)
    with tqdm(total=len(tasks), unit="run", desc="ray", disable=None) as bar:
        while waiting:
            _, waiting = ray.wait(waiting)
            bar.update(len(tasks) - len(waiting) - bar.n)


def _result(task: Any) -> JobReturn | None:
    import ray

    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        why = next(iter(str(error).strip().splitlines()), "")
        print(f"warning: Ray lost a job: {type(error).__name__}: {why}", file=sys.stderr, flush=True)
        return None
