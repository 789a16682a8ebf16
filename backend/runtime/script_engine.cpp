#include "runtime/script_engine.hpp"

#include "base/check.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace elbeam::runtime {
namespace {

// The folder of the file that holds this very code: libelbeam.so, or a program linked statically.
std::filesystem::path own_folder() {
  Dl_info info{};
  ELBEAM_INVARIANT(::dladdr(reinterpret_cast<const void*>(&load_script_engine), &info) != 0);
  std::error_code ignored;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, ignored);
  return (file.empty() ? std::filesystem::path("/proc/self/exe") : file).parent_path();
}

// A decoding step is hundreds of short parallel loops, and OpenMP ends each by waiting for all its
// threads, by default in a busy loop. Where other programs use the CPUs, too, the waiting threads
// take the time that the awaited one needs: four times slower on two busy CPUs, measured on a
// trained model. OpenMP reads this when it is loaded, that is with the plug-in; what the user has
// set stays.
void* open_plugin(const std::string& file) {
  constexpr int kKeepWhatIsSet = 0;
  ::setenv("OMP_WAIT_POLICY", "passive", kKeepWhatIsSet);
  return ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
}

}  // namespace

std::unique_ptr<StepModel> load_script_engine(const torchscript::ScriptModelOptions& options) {
  std::string tried;
  for (const std::filesystem::path& folder : {own_folder(), own_folder().parent_path() / "lib"}) {
    const std::string file = (folder / torchscript::kPluginFile).string();
    if (!std::filesystem::exists(file)) {
      tried += (tried.empty() ? "" : ", ") + file;
      continue;
    }
    void* plugin = open_plugin(file);
    ELBEAM_CHECK(plugin != nullptr, ErrorCode::kUnsupported,
                 "cannot load the TorchScript engine: ", ::dlerror());
    const auto load = reinterpret_cast<torchscript::LoadScriptModel>(
        ::dlsym(plugin, torchscript::kLoadScriptModelSymbol));
    ELBEAM_CHECK(load != nullptr, ErrorCode::kUnsupported, file,
                 ": not an elbeam plug-in: ", ::dlerror());
    return std::unique_ptr<StepModel>(load(options));
  }
  fail(ErrorCode::kUnsupported, "the TorchScript engine is not installed (looked for ", tried,
       "); build with -DELBEAM_TORCH=ON or use --engine native");
}

}  // namespace elbeam::runtime
