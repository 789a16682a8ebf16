#include "archive/pickle_globals.hpp"

#include <algorithm>
#include <array>

namespace elbeam::archive {
namespace {

// Whole packages: what they name is data or a class, and a record of it does no harm.
constexpr std::array<std::string_view, 8> kPackages{
    "argparse", "collections", "fairseq", "numpy", "omegaconf", "pathlib", "__torch__", "enum"};
// torch is listed by module: torch.hub, torch.load and the like have no place in a model.
constexpr std::array<std::string_view, 8> kTorchModules{
    "torch",         "torch._utils",      "torch.storage",       "torch.nn.parameter",
    "torch._tensor", "torch.jit._pickle", "torch.serialization", "torch.torch_version"};
constexpr std::array<std::string_view, 15> kTorchNames{
    "Size",  "device", "dtype", "Tensor", "float32",           "float16", "bfloat16", "float64",
    "int64", "int32",  "uint8", "bool",   "per_tensor_affine", "strided", "Generator"};
constexpr std::array<std::string_view, 16> kBuiltins{
    "dict", "list",  "set",       "frozenset", "tuple", "int",     "float", "bool",
    "str",  "bytes", "bytearray", "complex",   "long",  "unicode", "slice", "object"};

// OmegaConf nodes name the declared types of their values: typing.List[int] is pickled as
// operator.getitem(typing.List, int).
constexpr std::array<std::string_view, 6> kTyping{"Any",      "Dict",  "List",
                                                  "Optional", "Tuple", "Union"};

template <std::size_t kSize>
bool contains(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool in_package(std::string_view module, std::string_view package) {
  return module.substr(0, package.size()) == package &&
         (module.size() == package.size() || module[package.size()] == '.');
}

}  // namespace

bool is_inert_global(std::string_view module, std::string_view name) noexcept {
  if (module == "builtins" || module == "__builtin__") return contains(kBuiltins, name);
  if (module == "typing") return contains(kTyping, name);
  if (module == "_operator" || module == "operator") return name == "getitem";
  if (module == "_codecs") return name == "encode";
  if (module == "copyreg" || module == "copy_reg") return name == "_reconstructor";
  if (module == "torch") return name.ends_with("Storage") || contains(kTorchNames, name);
  if (contains(kTorchModules, module)) return true;
  return std::any_of(kPackages.begin(), kPackages.end(),
                     [&](std::string_view package) { return in_package(module, package); });
}

bool is_dict_global(std::string_view global) noexcept {
  return global == "collections OrderedDict" || global == "collections defaultdict" ||
         global == "builtins dict" || global == "__builtin__ dict";
}

}  // namespace elbeam::archive
