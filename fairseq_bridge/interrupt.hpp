// SIGINT and SIGTERM: before decoding the process ends at once; while it decodes, the running batch
// is given up at its next step and what was finished stays written.
#pragma once

namespace elbeam::fairseq {

// For the whole process. A second signal ends it without waiting.
void install_interrupt_handlers() noexcept;

// Number of the signal that arrived; 0 for none.
int interrupting_signal() noexcept;

// While one exists, a signal cancels the decoding instead of ending the process.
class DecodingScope {
 public:
  DecodingScope() noexcept;
  ~DecodingScope();
  DecodingScope(const DecodingScope&) = delete;
  DecodingScope& operator=(const DecodingScope&) = delete;
};

}  // namespace elbeam::fairseq
