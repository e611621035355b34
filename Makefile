.PHONY: train quick test lint lock doors ci

train:  ## train on the built-in scenes
	python -m train.cyclegan

quick:  ## the tests that compile nothing, within a minute
	pytest -m quick

test:  ## all tests
	pytest

lint:  ## formatting, lint rules, types
	ruff format .
	ruff check .
	mypy

COMPILE = uv pip compile -q --universal --generate-hashes --python-version 3.11 --upgrade --custom-compile-command "make lock"
lock:  ## exact versions for every system, with their hashes (needs uv)
	$(COMPILE) setup.py -o locks/run.txt
	$(COMPILE) setup.py --extra test -o locks/test.txt
	$(COMPILE) setup.py --extra cuda13 -o locks/cuda13.txt

doors:  ## the pictures at the top of the README
	python -m lessons 0 --output "$${TMPDIR:-/tmp}/lesson.html"
	python -m tests.doors "$${TMPDIR:-/tmp}/lesson.html"

ci:  ## what guards main
	.ci/run
