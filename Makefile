# make demo | make test | make check | make music : each does its own set-up on a fresh machine.
PYTHON ?= python3
TASK ?= intensity
VENV := .venv
BIN := $(VENV)/bin
JUDGES := .venv-judges
# Without an NVIDIA driver, pin the torch release this repository is tested with on CPUs; with one, take the CUDA build.
CONSTRAINT := $(if $(shell command -v nvidia-smi 2>/dev/null),,--constraint constraints-cpu.txt)

RIGHT_PYTHON = $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
	{ echo "error: Python 3.11 or 3.12 is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12"; exit 1; }

.PHONY: help setup judges demo test check format music clean
.DEFAULT_GOAL := help

help:                 ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/installed   ## create .venv and install (every other target does this by itself)

$(VENV)/installed: pyproject.toml constraints-cpu.txt
	@$(RIGHT_PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINT) --editable '.[dev]'
	@touch $@

judges: $(JUDGES)/installed   ## create .venv-judges: laion_clap and frechet_audio_distance, 2 GB, with CUDA 5 GB

$(JUDGES)/installed: eval/judges/requirements.txt
	@$(RIGHT_PYTHON)
	$(PYTHON) -m venv --clear $(JUDGES)
	$(JUDGES)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement $<
	$(JUDGES)/bin/python -m pip --disable-pip-version-check check
	@touch $@

demo: setup           ## one prompt and a control to sound, picture and figures: make demo TASK=melody
	$(BIN)/python -m ditto.demo task=$(TASK)

test: setup           ## the tests (slow and GPU ones: make test PYTEST='-m slow')
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 $(PYTEST)

check: setup          ## formatting, lint and types, as CI runs them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup         ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

music: setup          ## render the training music (Debian: apt install fluidsynth fluid-soundfont-gm)
	$(BIN)/python -m ditto.data.build

clean:                ## remove the environments and caches, keep runs, data and checkpoints
	rm -rf $(VENV) $(JUDGES) .pytest_cache .ruff_cache .mypy_cache *.egg-info
