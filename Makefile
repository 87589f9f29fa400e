# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Python compiles what is imported, at its first import: a small part of what is installed.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
LOCK := $(BIN)/uv pip compile pyproject.toml --python-version 3.11 --universal --generate-hashes \
	--quiet --no-header --no-annotate --no-emit-index-url --no-emit-find-links

# `make fuzz` takes about a quarter of an hour, `make faults` an hour; `make test` contains a small
# share of the first.
.PHONY: demo test test-slow test-engines test-lake test-matrix fuzz faults lint unit docs lock package
.PHONY: environment clean java jars

demo: $(STAMP)
	$(BIN)/sparkweights demo --into sparkweights-demo

test: lint
	$(BIN)/pytest

test-slow: $(STAMP)
	SPARKWEIGHTS_TEST_PLANS="as in jobs" $(BIN)/pytest -m slow

test-engines: $(STAMP) build/jars-yarn/.complete
	$(BIN)/pytest -m engines

test-lake: $(STAMP) jars
	$(BIN)/pytest -m lake

fuzz: $(STAMP)
	PYTHONPATH=. $(BIN)/python tests/fuzz/run.py

faults: $(STAMP)
	PYTHONPATH=.:tests/jobs $(BIN)/python tests/faults/run.py

# An environment per release of Spark, kept in .matrix; some lanes on each: half an hour.
test-matrix: $(STAMP)
	PYTHONPATH=tests/jobs $(BIN)/python tests/matrix/run.py

unit: $(STAMP)
	$(BIN)/pytest tests/unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	$(BIN)/python docs/generate.py

# A second call finds the stamp newer than what it was made from and installs nothing.
$(STAMP): requirements.lock pyproject.toml | java
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $(STAMP)

java:
	@sh .ci/java

# Connectors of lakehouse tables, of S3 and of Kafka, a broker of Kafka, and YARN's daemons for
# `make test-engines`, pinned by version and digest; they need Maven (Debian: maven).
jars: $(patsubst %,build/%/.complete,jars jars-s3 jars-kafka jars-kafka-broker)

build/%/.complete: tests/lake/%.xml tests/lake/%.sha256
	rm -rf $(@D)
	mkdir -p $(@D)
	mvn --batch-mode --quiet --file $< dependency:copy-dependencies \
		-DoutputDirectory=$(CURDIR)/$(@D)
	cd $(@D) && sha256sum --check --strict --quiet $(CURDIR)/tests/lake/$*.sha256
	touch $@

# Versions that are locked stay; `rm requirements*.lock` first takes the newest ones, of Spark that of
# the line in pyproject.toml.
lock:
	$(INSTALL) uv
	$(LOCK) --all-extras --group dev --output-file requirements.lock
	$(LOCK) --all-extras --constraint requirements.lock --output-file requirements-runtime.lock

package: $(STAMP)
	mkdir -p build
	rm -f build/sparkweights.zip
	$(BIN)/python -m zipfile -c build/sparkweights.zip sparkweights

# The locked packages but Spark, which the cluster has, for spark.archives. Executors need a Python
# of the same path and version.
environment:
	rm -rf build/environment
	$(PYTHON) -m venv build/environment
	build/environment/bin/python -m pip install --quiet --require-hashes -r requirements-runtime.lock
	build/environment/bin/python -m pip uninstall --quiet --yes pyspark py4j
	build/environment/bin/python -m pip install --quiet --no-deps .
	tar -czf build/environment.tar.gz -C build/environment .

clean:
	rm -rf $(VENV) build out sparkweights-demo
