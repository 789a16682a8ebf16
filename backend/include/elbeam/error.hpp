// The one error type of elbeam. Everything that can be reached from a file, a flag or a socket
// reports failure by throwing Error; nothing aborts.
#pragma once

#include <stdexcept>
#include <string>

namespace elbeam {

// What went wrong, in the terms a caller can act on. exit_code() maps each to the documented exit
// status of the command line tools.
enum class ErrorCode {
  kUsage,         // a flag or an option is unknown, out of range or contradicts another
  kIo,            // a file cannot be opened, read or written
  kFormat,        // a file's bytes do not have the structure that its format demands
  kIntegrity,     // the structure is right and the content is not: checksum, short tensor record
  kLimit,         // a size is above the documented limit, or arithmetic on sizes overflows
  kUnsupported,   // well-formed, and outside what this build can run
  kModel,         // model, dictionary and data do not fit each other
  kOutOfMemory,   // memory for the work could not be had
  kDevice,        // the requested device is missing or failed
  kFairseqFails,  // fairseq stops here with an error, and --compat asked for its behaviour
  kQuality,       // a precision that is not lossless loses more than the caller allows
  kInterrupted,   // the caller asked to stop
  kInternal,      // a mistake in elbeam itself
};

// Stable lower-case name of a code ("format", "out_of_memory", ...), for logs and JSON.
const char* error_code_name(ErrorCode code) noexcept;

// 1 fairseq fails here; 2 usage; 3 input or model rejected; 4 resources; 5 quality; 130
// interrupted; 70 internal.
int exit_code(ErrorCode code) noexcept;

// Thread safety: as std::runtime_error. what() says what failed, where (file and place), what was
// expected and what was found; its exact wording may change between versions.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace elbeam
