#!/usr/bin/env bash
# What `make setup` runs: brings whatever the build lacks, and does nothing when nothing is lacking.
#
#   cmake/setup.sh          compiler, CMake, Ninja, Boost, JSON, ICU, sentencepiece, GoogleTest, WordNet (Debian); LibTorch (PyPI)
#   cmake/setup.sh lint     the above and what checks need: clang, clang-format, clang-tidy, Chromium
#   cmake/setup.sh cuda     only nvcc and nvdisasm (PyPI, 125 MB), which compile the device's kernels for the test `cubin`;
#                           a CUDA build needs a whole CUDA toolkit instead
#
# Environment: ELBEAM_DEPS_DIR         where LibTorch goes (default .deps); may be shared by checkouts
#              ELBEAM_TORCH_VERSION    another torch than cmake/torch_version.txt names
#              CMAKE_PREFIX_PATH, LibTorchCpu_ROOT   a LibTorch of your own: nothing is downloaded
set -euo pipefail
cd "$(dirname "$0")/.."

deps=${ELBEAM_DEPS_DIR:-.deps}
version=${ELBEAM_TORCH_VERSION:-$(cat cmake/torch_version.txt)}
cxx=${CXX:-g++}

fail() {
  printf 'set-up failed: %s\n' "$1" >&2
  exit 1
}

has_command() { command -v "$1" >/dev/null 2>&1; }

# Asks the compiler, not the package manager: what is there by other means counts.
has_header() { printf '#include <%s>\n' "$1" | "$cxx" -std=c++20 -E -x c++ - >/dev/null 2>&1; }

has_library() { printf 'int main() {}\n' | "$cxx" -x c++ - -o /dev/null "-l$1" >/dev/null 2>&1; }

has_python_header() {
  python3 -c 'import os, sysconfig
raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

# Not has_header: it includes Python.h, which lies where only CMake looks.
has_pybind11() {
  printf '#if !__has_include(<pybind11/pybind11.h>)\n#error\n#endif\n' |
    "$cxx" -std=c++20 -E -x c++ - >/dev/null 2>&1
}

missing_packages() {
  has_command "$cxx" || echo g++
  has_command make || echo make
  has_command cmake || echo cmake
  has_command ninja || echo ninja-build
  has_command readelf || echo binutils
  has_command python3 || echo python3
  python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  has_python_header || echo python3-dev
  has_pybind11 || echo pybind11-dev
  has_header boost/version.hpp || echo libboost-dev
  { has_header boost/program_options.hpp && has_library boost_program_options; } ||
    echo libboost-program-options-dev
  has_header nlohmann/json.hpp || echo nlohmann-json3-dev
  has_command pkg-config || echo pkg-config
  { has_header unicode/uchar.h && has_library icuuc; } || echo libicu-dev
  { has_header sentencepiece_processor.h && has_library sentencepiece; } || echo libsentencepiece-dev
  { has_header zlib.h && has_library z; } || echo zlib1g-dev
  [ -e /usr/share/wordnet/adj.exc ] || echo wordnet-base
  { has_header gtest/gtest.h && has_library gtest; } || echo libgtest-dev
  { has_header gmock/gmock.h && has_library gmock; } || echo libgmock-dev
  if [ "${1:-}" = lint ]; then
    has_command clang++ || echo clang
    has_command clang-format || echo clang-format
    has_command clang-tidy || echo clang-tidy
    has_command chromium || has_command chromium-browser || echo chromium
  fi
}

install_packages() {
  local as_root=()
  local command="apt-get update && apt-get install -y --no-install-recommends $*"
  has_command apt-get || fail "this system has no apt-get; install the equivalents of: $*"
  if [ "$(id -u)" -ne 0 ]; then
    has_command sudo || fail "not root and no sudo; run as root: $command"
    as_root=(sudo)
  fi
  echo "      installing from Debian: $*"
  if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "$@" >/dev/null; }; then
    fail "apt-get did not succeed; mend it with: ${as_root[*]} sh -c '$command'"
  fi
}

check_versions() {
  local cmake_version
  cmake_version=$(cmake --version | awk 'NR == 1 {print $3}')
  [ "$(printf '%s\n3.25\n' "$cmake_version" | sort -V | head -n 1)" = 3.25 ] ||
    fail "CMake $cmake_version is older than 3.25; mend it with: python3 -m pip install --user 'cmake>=3.25'"
  printf '#include <version>\n#if __cpp_lib_span < 202002L || __cpp_concepts < 201907L\n#error\n#endif\n' |
    "$cxx" -std=c++20 -E -x c++ - >/dev/null 2>&1 ||
    fail "$cxx does not know C++20; mend it with: apt-get install g++-12 && export CXX=g++-12"
}

# Prints the folder of the user's own LibTorch, if CMAKE_PREFIX_PATH or LibTorchCpu_ROOT leads to one.
own_libtorch() {
  local prefixes prefix suffix
  IFS=':;' read -r -a prefixes <<<"${LibTorchCpu_ROOT:-}:${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]}"; do
    for suffix in "" /torch /../..; do
      if [ -n "$prefix" ] && [ -e "$prefix$suffix/lib/libtorch_cpu.so" ]; then
        echo "$prefix$suffix"
        return
      fi
    done
  done
}

# Pinned, so that what the kernels are held to does not change by itself.
fetch_nvcc() {
  local target="$deps/cuda"
  if cmp -s cmake/cuda_packages.txt "$target/packages.txt"; then
    echo "nvcc: already in $target"
    return
  fi
  rm -rf "$target"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$target" \
    --requirement cmake/cuda_packages.txt || fail "pip could not bring the packages of cmake/cuda_packages.txt"
  cp cmake/cuda_packages.txt "$target/packages.txt"
  echo "nvcc: in $target"
}

if [ "${1:-}" = cuda ]; then
  fetch_nvcc
  exit 0
fi

echo "[1/2] compiler, CMake, Boost, JSON, GoogleTest"
mapfile -t missing < <(missing_packages "${1:-}")
if [ "${#missing[@]}" -gt 0 ]; then
  install_packages "${missing[@]}"
  mapfile -t missing < <(missing_packages "${1:-}")
  [ "${#missing[@]}" -eq 0 ] || fail "still missing after the installation: ${missing[*]}"
fi
check_versions

own=$(own_libtorch)
if [ -n "$own" ]; then
  echo "[2/2] LibTorch: yours, in $own"
else
  echo "[2/2] LibTorch $version"
  python3 cmake/fetch_libtorch.py --deps "$deps" --version "$version"
fi
echo "set-up is complete"
