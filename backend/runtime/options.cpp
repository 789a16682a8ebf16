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
  const bool on_cpu = engine == Engine::kNative && device == "cpu";
  ELBEAM_CHECK(
      on_cpu || dtype == DType::kFp32 || dtype == DType::kFp64, ErrorCode::kUsage,
      "--dtype fp16, bf16 and int8 are the native engine's on the CPU; --engine torchscript "
      "and other devices have fp32 and fp64");
  ELBEAM_CHECK(!vocabulary.active() || on_cpu, ErrorCode::kUsage,
               "a list or lexicon of target tokens is for the native engine on the CPU");
  ELBEAM_CHECK(!pack_cache || on_cpu, ErrorCode::kUsage,
               "--pack-cache is for the native engine on the CPU");
  ELBEAM_CHECK(pack_cache || pack_cache_folder.empty(), ErrorCode::kUsage,
               "a folder for pack caches (pack_cache_folder) needs pack_cache");
  ELBEAM_CHECK(vocabulary.first >= -1 && vocabulary.best >= 0, ErrorCode::kUsage,
               "--shortlist-first and --shortlist-best must not be negative, got ",
               vocabulary.first, " and ", vocabulary.best);
}

}  // namespace elbeam
