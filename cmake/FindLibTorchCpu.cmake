# LibTorch's CPU half, from the torch wheel that `make setup` unpacked or from the user's own LibTorch
# (CMAKE_PREFIX_PATH or LibTorchCpu_ROOT, as a variable or in the environment, pointing at the folder
# that holds lib/ and include/, or at torch/share/cmake). ELBEAM_DEPS_DIR moves the set-up's folder.
#
# TorchConfig.cmake is not used: of a CUDA build it demands a CUDA toolkit, and it links libtorch_cuda,
# which is 456 MB that a CPU program never calls. Gives the target LibTorchCpu::LibTorchCpu.

set(elbeam_torch_hints ${LibTorchCpu_ROOT} $ENV{LibTorchCpu_ROOT})
string(REPLACE ":" ";" elbeam_env_prefixes "$ENV{CMAKE_PREFIX_PATH}")
foreach(prefix IN LISTS CMAKE_PREFIX_PATH elbeam_env_prefixes)
  list(APPEND elbeam_torch_hints ${prefix} ${prefix}/torch ${prefix}/../.. ${prefix}/../../..)
endforeach()
if(DEFINED ENV{ELBEAM_DEPS_DIR})
  list(APPEND elbeam_torch_hints $ENV{ELBEAM_DEPS_DIR}/libtorch)
endif()
list(APPEND elbeam_torch_hints ${PROJECT_SOURCE_DIR}/.deps/libtorch)

find_path(LibTorchCpu_INCLUDE_DIR NAMES torch/csrc/api/include/torch/torch.h ATen/ATen.h
          HINTS ${elbeam_torch_hints} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(LibTorchCpu_torch_cpu NAMES torch_cpu HINTS ${elbeam_torch_hints} PATH_SUFFIXES lib
             NO_DEFAULT_PATH)
find_library(LibTorchCpu_c10 NAMES c10 HINTS ${elbeam_torch_hints} PATH_SUFFIXES lib NO_DEFAULT_PATH)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LibTorchCpu
  REQUIRED_VARS LibTorchCpu_torch_cpu LibTorchCpu_c10 LibTorchCpu_INCLUDE_DIR
  REASON_FAILURE_MESSAGE
    "Run `make setup`, point CMAKE_PREFIX_PATH at your own LibTorch, or build without it: -DELBEAM_TORCH=OFF")

if(LibTorchCpu_FOUND AND NOT TARGET LibTorchCpu::LibTorchCpu)
  add_library(LibTorchCpu::LibTorchCpu INTERFACE IMPORTED)
  target_include_directories(
    LibTorchCpu::LibTorchCpu SYSTEM
    INTERFACE ${LibTorchCpu_INCLUDE_DIR} ${LibTorchCpu_INCLUDE_DIR}/torch/csrc/api/include)
  # The CUDA runtime and CUPTI are needed by libtorch_cpu itself, found through its own rpath at run
  # time; the linker must not insist on seeing them.
  target_link_libraries(LibTorchCpu::LibTorchCpu INTERFACE ${LibTorchCpu_torch_cpu} ${LibTorchCpu_c10})
  target_link_options(LibTorchCpu::LibTorchCpu INTERFACE -Wl,--allow-shlib-undefined)
endif()
