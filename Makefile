.PHONY: train test lint ci

train:  ## train on the built-in scenes
	python -m train.cyclegan

test:  ## all tests
	pytest

lint:  ## formatting, lint rules, types
	ruff format .
	ruff check .
	mypy

ci:  ## what guards main
	.ci/run
