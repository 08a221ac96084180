# `make demo`, `make web-demo` and `make test`. Each does its own set-up.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# The CPU build is enough for the tests; an unpinned torch brings gigabytes of CUDA.
TORCH := torch==2.13.0

.PHONY: demo web-demo js-demo test lint types check clean

demo: $(VENV)/.demo
	$(BIN)/comrec demo --output demo

web-demo: $(VENV)/.web
	mkdir -p demo
	$(BIN)/python -c 'from comrec.cli.demo import photograph; photograph().to_pil().save("demo/coffee.png")'
	$(BIN)/comrec serve demo/coffee.png

test: $(VENV)/.test
	# One worker a core: more threads in each would only wait for each other.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

check: lint types test

# The demo of comrec.js, a static site.
js-demo: demo js/node_modules
	mkdir -p demo/site
	cp js/demo/* demo/site
	cp demo/photo-25.jpg demo/site/photo.jpg
	node js/copy.js demo/site/comrec
	$(BIN)/comrec web export-weights demo/site/comrec/weights
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory demo/site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/.web: $(VENV)/.demo
	$(BIN)/pip install --quiet --editable '.[demo,web]'
	touch $@

$(VENV)/.test: $(VENV)/.demo | js/node_modules
	$(BIN)/pip install --quiet '$(TORCH)'
	$(BIN)/pip install --quiet --editable '.[demo,train,bench,bpg,heic,jpegli,jpegxl,ray,remote,web]' --group test
	$(BIN)/pip install --quiet --no-deps pytorch-msssim
	touch $@

# onnxruntime-web. Without npm, tests of comrec.js say so, and are skipped.
js/node_modules: js/package-lock.json
	-npm ci --prefix js --ignore-scripts --no-audit --no-fund && touch $@

clean:
	rm -rf $(VENV) demo js/node_modules
