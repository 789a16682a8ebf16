#include <elbeam/options.hpp>

#include "base/check.hpp"

namespace elbeam {

void LoadOptions::validate() const {
  ELBEAM_CHECK(!model_path.empty(), ErrorCode::kUsage, "no model file given (--path)");
  ELBEAM_CHECK(threads >= 0 && threads <= 1024, ErrorCode::kUsage,
               "--threads: expected 0 to 1024, got ", threads);
  ELBEAM_CHECK(memory_limit >= 0, ErrorCode::kUsage,
               "--memory-limit: expected a positive number of bytes, got ", memory_limit);
  ELBEAM_CHECK(engine == Engine::kNative || attention == Attention::kAuto, ErrorCode::kUsage,
               "--attention chooses how the native engine computes; it does not go with --engine "
               "torchscript");
  ELBEAM_CHECK(engine == Engine::kNative || device == "cpu", ErrorCode::kUsage, "--device ", device,
               " goes with the native engine, not with --engine torchscript");
}

}  // namespace elbeam
