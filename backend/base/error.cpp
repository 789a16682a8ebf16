#include <elbeam/error.hpp>

namespace elbeam {

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kUsage:
      return "usage";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kFormat:
      return "format";
    case ErrorCode::kIntegrity:
      return "integrity";
    case ErrorCode::kLimit:
      return "limit";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kModel:
      return "model";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kDevice:
      return "device";
    case ErrorCode::kFairseqFails:
      return "fairseq_fails";
    case ErrorCode::kQuality:
      return "quality";
    case ErrorCode::kInterrupted:
      return "interrupted";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

int exit_code(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kUsage:
      return 2;
    case ErrorCode::kIo:
    case ErrorCode::kFormat:
    case ErrorCode::kIntegrity:
    case ErrorCode::kLimit:
    case ErrorCode::kUnsupported:
    case ErrorCode::kModel:
      return 3;
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kDevice:
      return 4;
    case ErrorCode::kFairseqFails:
      return 1;
    case ErrorCode::kQuality:
      return 5;
    case ErrorCode::kInterrupted:
      return 130;
    case ErrorCode::kInternal:
      return 70;
  }
  return 70;
}

}  // namespace elbeam
