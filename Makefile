.PHONY: train quick test lint ci

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

ci:  ## what guards main
	.ci/run
