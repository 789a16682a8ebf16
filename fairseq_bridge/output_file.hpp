// Where the results go: standard output, or a file. Every failure to write is reported: a closed
// pipe or a full disk must never look like a complete run.
#pragma once

#include <string>
#include <string_view>

namespace elbeam::fairseq {

// Not thread-safe. Text is held back until flush(), so that what others read always ends with a
// complete batch.
class OutputFile {
 public:
  static OutputFile standard_output();
  static OutputFile standard_error();
  // Creates or empties the file. Throws Error(kIo).
  static OutputFile create(const std::string& path);

  ~OutputFile();  // closes; what was not flushed is dropped
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void append(std::string_view text) { pending_ += text; }
  // Throws Error(kIo), and kInterrupted for a signal that came while the write was blocked. Needs
  // SIGPIPE to be ignored (ignore_broken_pipes).
  void flush();

 private:
  OutputFile(std::string name, int fd, bool owned);

  std::string name_;  // for messages
  int fd_;
  bool owned_;
  std::string pending_;
};

// Makes writing to a closed pipe an error instead of a signal, for the whole process.
void ignore_broken_pipes() noexcept;

}  // namespace elbeam::fairseq
