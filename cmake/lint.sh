#!/usr/bin/env bash
# What `make lint` runs: everything that judges the source without running it.
#
#   cmake/lint.sh            all of it
#   cmake/lint.sh --fast     without clang-tidy (seconds; what .ci/run uses)
#   cmake/lint.sh FILE...    clang-tidy of these files only
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null 2>&1 || { echo "no $1; mend it with: cmake/setup.sh lint" >&2; exit 1; }; }

need clang-format
need python3
echo "[1/3] module directions, sizes"
python3 tests/structure/check_dependencies.py
echo "[2/3] format"
git ls-files -z --cached --others --exclude-standard '*.cpp' '*.hpp' '*.cu' '*.cuh' |
  xargs -0 -r clang-format --dry-run -Werror
if [ "${1:-}" = --fast ]; then
  echo "[3/3] clang-tidy: left out (--fast)"
  exit 0
fi

need clang-tidy
build=${BUILD:-build-tidy}
cmake --preset pure -B "$build" -DCMAKE_CXX_COMPILER=clang++ -DELBEAM_TESTS=OFF >/dev/null
if [ $# -eq 0 ]; then
  # The database names what the build without LibTorch compiles; that is what tidy can read quickly.
  mapfile -t files < <(python3 -c 'import json, sys
print("\n".join(sorted({entry["file"] for entry in json.load(open(sys.argv[1]))})))' "$build/compile_commands.json")
  set -- "${files[@]}"
fi
echo "[3/3] clang-tidy of $# files (about 10 s each)"
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" clang-tidy --quiet -p "$build"
