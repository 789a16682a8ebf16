# The few commands that a visitor and CI need. Everything they do is CMake's and ctest's; presets with
# sanitizers and without LibTorch are in CMakePresets.json.
#
#   JOBS=N                compile and test N at a time (default: all processors)
#   BUILD=folder          build somewhere else than in build/
#   CMAKE_ARGS=...        more arguments for the configure step, e.g. CMAKE_ARGS=-DELBEAM_CUDA=OFF
#   ELBEAM_DEPS_DIR       where LibTorch is kept (default .deps)

JOBS ?= $(shell nproc)
BUILD ?= build
DEMO_MODEL ?= tests/data/debian_de_en
LAUNCHER := $(shell command -v ccache >/dev/null 2>&1 && echo -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
SOURCES = $(shell git ls-files --cached --others --exclude-standard '*.cpp' '*.hpp' '*.cu' '*.cuh')

.DEFAULT_GOAL := help
.PHONY: help setup configure build demo test bench gpu-check format lint clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the build lacks: Debian packages and LibTorch (545 MB download); safe to repeat
	@cmake/setup.sh

configure: setup
	@cmake --preset release -B $(BUILD) $(LAUNCHER) $(CMAKE_ARGS)

build: configure ## set-up, then compile everything into build/
	@cmake --build $(BUILD) --parallel $(JOBS)

demo: build ## decode real text with the bundled model and compare with stock fairseq's stored output
	@python3 -m fairseq_bridge.parity.demo --elbeam $(BUILD)/bin/elbeam-generate $(DEMO_MODEL)

test: build ## set-up, build, then every test
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS) --timeout 900

bench: build ## speed and memory against stock fairseq and CTranslate2; see bench/README.md
	@python3 -m bench --build $(BUILD)

gpu-check: setup ## is elbeam right on this machine's NVIDIA GPU, and how fast; writes gpu_check.json and gpu_check.md
	@command -v nvcc >/dev/null || { echo "gpu-check: no nvcc on the PATH; it needs a CUDA toolkit, 12 or later" >&2; exit 4; }
	@cmake --preset cuda -B build-cuda $(LAUNCHER) -DELBEAM_TORCH=OFF -DELBEAM_PYTHON=OFF $(CMAKE_ARGS)
	@cmake --build build-cuda --parallel $(JOBS) --target elbeam-device-bench elbeam-generate device_kernels_test
	@python3 -m bench.gpu_check --build build-cuda

format: ## rewrite all C++ files in the house format
	@clang-format -i $(SOURCES)

lint: ## format check, module directions, file sizes, clang-tidy of the files without LibTorch
	@cmake/lint.sh

clean: ## remove the build folders; what make setup brought stays
	@rm -rf $(BUILD) build-*
